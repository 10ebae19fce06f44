# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The owner of an object that a chart would create (pure).

Helm adopts an existing object only if its annotations name that release and its label is Helm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..apply.manifests import is_ours
from ..k8s.client import FIELD_MANAGER
from ..k8s.fields import labels_of, mappings, meta, texts
from .values import Json, at, merged

CRD = "CustomResourceDefinition"


@dataclass(frozen=True)
class Owned:
    """An object of the chart that exists and has another owner."""

    kind: str
    name: str
    namespace: str
    owner: str

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def __str__(self) -> str:
        return f"{self.title} belongs to {self.owner}"


def owner_of(live: Json, name: str, namespace: str) -> str:
    """The owner of a live object, for messages; "" when release ``namespace/name`` may manage it."""
    notes, labels = texts(meta(live).get("annotations")), labels_of(live)
    helm = notes.get("meta.helm.sh/release-namespace"), notes.get("meta.helm.sh/release-name")
    if helm == (namespace, name) and labels.get("app.kubernetes.io/managed-by") == "Helm":
        return ""
    return program_of(live) or _writer(live)


def program_of(live: Json) -> str:
    """The program that would revert changes of a live object: Argo CD, Flux, Helm, another installer; "" for none."""
    notes, labels = texts(meta(live).get("annotations")), labels_of(live)
    argo = notes.get("argocd.argoproj.io/tracking-id", "").partition(":")[0]
    argo = argo or labels.get("argocd.argoproj.io/instance", "")
    if argo:
        return f"Argo CD application {argo}"
    for kind, key in (("HelmRelease", "helm.toolkit.fluxcd.io"), ("Kustomization", "kustomize.toolkit.fluxcd.io")):
        if labels.get(f"{key}/name"):
            return f"Flux {kind} {labels.get(f'{key}/namespace', '')}/{labels[f'{key}/name']}"
    release = notes.get("meta.helm.sh/release-name")
    if release or notes.get("meta.helm.sh/release-namespace"):
        return f"Helm release {notes.get('meta.helm.sh/release-namespace')}/{release}"
    instance = labels.get("app.kubernetes.io/instance")
    return f"an installer without Helm records (instance {instance})" if instance else ""


def has_gitops(live: Json) -> bool:
    """Whether Argo CD or Flux would revert changes, also those of a Helm release that they took over."""
    return program_of(live).startswith(("Argo CD", "Flux"))


def _writer(live: Json) -> str:
    """The programs that wrote the object; unlike those of program_of they may have run once."""
    if any(key.startswith(("operator.istio.io/", "install.operator.istio.io/")) for key in labels_of(live)):
        return "istioctl"
    entries = [each for each in mappings(meta(live).get("managedFields")) if not each.get("subresource")]
    managers = list(dict.fromkeys(str(each["manager"]) for each in entries if each.get("manager")))
    if is_ours(live) or managers == [FIELD_MANAGER]:
        return f"this collection ({FIELD_MANAGER})"
    managers = [each for each in managers if each != FIELD_MANAGER]
    if not managers:
        return "an unknown owner"
    return f"field manager{'s' if len(managers) > 1 else ''} {' and '.join(managers)}"


def left_out(owned: Iterable[Owned], missing: Iterable[str], switches: Mapping[str, Any]) -> list[str]:
    """Switches (dotted paths in the values) that leave out every CRD with another owner.

    Raises ValueError when a CRD has no switch, or a switch would also leave out a CRD that is ``missing``.
    """
    absent = set(missing)
    found: list[str] = []
    for each in owned:
        fitting = [key for key, crds in switches.items() if each.kind == CRD and each.name in crds]
        if not fitting:
            raise ValueError(str(each))
        for switch in fitting:
            lost = absent.intersection(switches[switch])
            if lost:
                raise ValueError(
                    f"{each}; {switch}=false would leave out {', '.join(sorted(lost))} as well, which is missing"
                )
        found += [switch for switch in fitting if switch not in found]
    return found


def switched_off(switches: Iterable[str]) -> Json:
    """Values that set the switches to false."""
    values: Json = {}
    for switch in switches:
        values = merged(values, at(tuple(switch.split(".")), False))
    return values
