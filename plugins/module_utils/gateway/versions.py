# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What versions of kgateway differ in, each with the version from which it holds, and the version in a cluster (pure).

Sources: kgateway's CRDs, charts and release notes, and what its controllers 2.1 and 2.3 did.

What a controller did is read from its objects. A version is used only where it has not done anything yet, such as for
a value that is about to be written, and for words. An image tag decides nothing: mirrors and digests have any or none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..k8s.fields import Json, condition, conditions_of, dig, is_true, labels_of, mapping, mappings, meta, spec_of

#: major and minor version
Version = tuple[int, int]

#: overlays: patches of an object that the controller renders, applied after all other fields -> the object's kind
OVERLAYS: Mapping[str, str] = {
    "deploymentOverlay": "Deployment",
    "serviceOverlay": "Service",
    "serviceAccountOverlay": "ServiceAccount",
    "podDisruptionBudget": "PodDisruptionBudget",
    "horizontalPodAutoscaler": "HorizontalPodAutoscaler",
    "verticalPodAutoscaler": "VerticalPodAutoscaler",
}
OVERLAYS_SINCE: Version = (2, 3)

#: fields of GatewayParameters below spec.kube -> the version that brought them; those not listed are older
FIELDS: Mapping[str, Version] = {
    **dict.fromkeys(OVERLAYS, OVERLAYS_SINCE),
    "service.loadBalancerClass": (2, 3),
    "service.loadBalancerSourceRanges": (2, 3),
    "envoyContainer.bootstrap.logFormat": (2, 3),
}

#: service.ports[].nodePort is used with type LoadBalancer too; before, it is ignored there
NODE_PORT_OF_LOAD_BALANCER: Version = (2, 3)
#: deployment.replicas 0 is applied; before, it is ignored
NO_REPLICAS: Version = (2, 3)
#: Gateways have the condition ResolvedRefs
GATEWAY_RESOLVED_REFS: Version = (2, 3)
#: ServiceEntries are backends only with KGW_ENABLE_ISTIO_INTEGRATION; without it, a route has reason InvalidKind
SERVICE_ENTRIES_NEED_INTEGRATION: Version = (2, 3)
#: objects of a Gateway with a long name have a shortened one; before, its name was that of a Helm release
LONG_NAMES: Version = (2, 3)

_RELEASE_NAME, _LABEL, _NAME = 53, 63, 253  # longest of each


def name_limit(version: Version | None) -> int:
    """The longest name of a Gateway that the controller can deploy; that of Kubernetes if the version is unknown."""
    return _RELEASE_NAME if version is not None and version < LONG_NAMES else _NAME


def object_names(gateway: str) -> tuple[str, ...]:
    """The names that the Deployment and the Service of a Gateway may have, those of newer versions first."""
    if len(gateway) <= _LABEL:
        return (gateway,)
    digest = hashlib.sha256(gateway.encode()).hexdigest()[:12]
    return (f"{gateway[:50].removesuffix('-')}-{digest}", gateway[:_LABEL].removesuffix("-"))


def since(path: str) -> Version | None:
    """The version that brought a field below spec.kube, or one of its parents; None for older and unknown fields."""
    return next((version for field, version in FIELDS.items() if path == field or path.startswith(f"{field}.")), None)


def shown(version: Version) -> str:
    return ".".join(map(str, version))


# -- the version in a cluster ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Range:
    """Versions of kgateway from ``at_least`` on and before ``below``; None: no limit is known."""

    at_least: Version | None = None
    below: Version | None = None

    def has(self, version: Version) -> bool | None:
        """Whether what holds from that version on holds for all of them; None when that differs."""
        if self.at_least is not None and self.at_least >= version:
            return True
        return False if self.below is not None and self.below <= version else None


UNKNOWN = Range()


def exactly(version: Version | None) -> Range:
    return Range(version, (version[0], version[1] + 1)) if version else UNKNOWN


def minor(text: str) -> Version | None:
    """Major and minor version of ``v2.3.0`` or of the label ``kgateway-v2.3.0``; None for other texts."""
    found = full(text)
    return found[:2] if found else None


def full(text: str) -> tuple[int, int, int] | None:
    """Like minor(), with the patch version."""
    found = re.search(r"(?:^|-)v?(\d+)\.(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def of_labels(deployment: Json | None) -> str:
    """The version of the controller in the labels that Helm charts give its Deployment; "" without one.

    ``helm.sh/chart`` is the chart's name and version: ``kgateway-v2.3.0``.
    """
    labels = labels_of(deployment)
    found = (labels.get("app.kubernetes.io/version", ""), labels.get("helm.sh/chart", ""))
    versions = (re.search(r"(?:^|-)(v?\d+\.\d+\.\d+.*)", text) for text in found)
    return next((match[1] for match in versions if match), "")


def of_crd(crd: Json | None) -> Range:
    """The versions that serve this CRD of GatewayParameters. The CRDs of a cluster may be newer than its controller."""
    schemas = [
        mapping(dig(each, "schema", "openAPIV3Schema", "properties", "spec", "properties", "kube", "properties"))
        for each in mappings(spec_of(crd).get("versions"))
        if each.get("served")
    ]
    if not any(schemas):
        return UNKNOWN
    has_overlays = any(not OVERLAYS.keys().isdisjoint(fields) for fields in schemas)
    return Range(at_least=OVERLAYS_SINCE) if has_overlays else Range(below=OVERLAYS_SINCE)


def of_gateways(gateways: Iterable[Json]) -> Range:
    """The versions that write the status of these Gateways, which have the same controller."""
    judged = [each for each in gateways if is_true(each, "Accepted") and _is_current(each)]
    if not judged:
        return UNKNOWN
    is_new = any(condition(each, "ResolvedRefs") for each in judged)
    return Range(at_least=GATEWAY_RESOLVED_REFS) if is_new else Range(below=GATEWAY_RESOLVED_REFS)


def _is_current(gateway: Json) -> bool:
    generation = meta(gateway).get("generation")
    return all(each.get("observedGeneration", generation) == generation for each in conditions_of(gateway))
