# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the Istio control planes (istiods) of a cluster and choose one of them (pure; istiod_info reads the cluster)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..k8s.fields import Json, full_name, key_of, selector_matches
from .control_planes import Plane, Snapshot, control_planes
from .facts import certificate_hosts, facts_of
from .objects import (
    XDS_PORT,
    compared,
    external_name,
    image_version,
    injection_selectors,
    namespace_selectors,
    service_of_address,
)
from .problems import INJECTION_ENABLED, problems_of

__all__ = [
    "KEYS",
    "XDS_PORT",
    "ChoiceError",
    "choose",
    "compared",
    "describe",
    "discover",
    "image_version",
    "service_of_address",
]

KEYS = (
    "namespace", "name", "revision", "tags", "address", "cluster_id",
    "mesh_id", "network", "trust_domain", "version", "ready",
)  # fmt: skip


def facts_problems(istiod: Mapping[str, Any]) -> list[str]:
    """Problems of an istiod record passed by a user: without these keys comparisons would pass silently."""
    if not istiod or {"address", "cluster_id", "mesh_id"} & istiod.keys():
        return []
    return ["istiod has no address, cluster_id or mesh_id. Pass the value istiod returned by istiod_info"]


def discover(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Find every control plane in the objects of one cluster.

    objects: lists under `deployments`, `services`, `endpointslices`, `configmaps`, `mutatingwebhookconfigurations`,
    `namespaces`. A missing or None key means that the kind could not be read; dependent values are null.
    `only_namespace`: the only namespace that was searched, if not all were.

    Returns `istiods` (records with `KEYS`), `sources` (records: namespace, name, revision, key, source, certainty),
    `problems` (sentences), `serving` (index in `istiods` by "namespace/name" of every Service of an istiod, aliases
    too), and for each of `istiods`: `hosts` (the names in its certificate), `deployments` ((namespace, name) of
    its Deployment or None), `selectors` (the namespaceSelectors of its injectors; None: they could not be read),
    `hooks` (the (namespaceSelector, objectSelector) pairs of all hooks of its injectors; None as before).
    """
    snapshot = Snapshot(objects)
    planes = control_planes(snapshot)
    facts = [facts_of(plane, snapshot) for plane in planes]
    istiods = [{key: record[key].value for key in KEYS} for record in facts]
    return {
        "istiods": istiods,
        "sources": [
            {
                **{key: istiod[key] for key in ("namespace", "name", "revision")},
                "key": key,
                "source": record[key].source,
                "certainty": record[key].certainty,
            }
            for istiod, record in zip(istiods, facts, strict=True)
            for key in KEYS
        ],
        "problems": problems_of(planes, facts, snapshot),
        "serving": _serving(planes, snapshot),
        "hosts": [certificate_hosts(plane) for plane in planes],
        "deployments": [plane.deployment and key_of(plane.deployment) for plane in planes],
        "selectors": None
        if "mutatingwebhookconfigurations" in snapshot.unread
        else [[s for webhook in plane.webhooks for s in namespace_selectors(webhook)] for plane in planes],
        "hooks": None
        if "mutatingwebhookconfigurations" in snapshot.unread
        else [[s for webhook in plane.webhooks for s in injection_selectors(webhook)] for plane in planes],
    }


def _serving(planes: list[Plane], snapshot: Snapshot) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, plane in enumerate(planes):
        for service in plane.remotes if plane.is_remote else [*plane.services, *plane.dead]:
            found[full_name(service)] = place
    for service in snapshot.services:
        target = "/".join(service_of_address(external_name(service)) or ())
        if target in found:
            found.setdefault(full_name(service), found[target])
    return found


# --- injection ------------------------------------------------------------


def injecting(
    found: Mapping[str, Any], namespace: str, namespace_labels: Mapping[str, str], pod_labels: Mapping[str, str]
) -> list[Json]:
    """The istiods that give a new Pod a sidecar, by the labels of its namespace and its own.

    Where an istiod's injectors are not known, by Istio's rules: sidecar.istio.io/inject of the Pod overrides the
    namespace, and istio-injection the revision.
    """
    istiods: list[Json] = list(found["istiods"])
    hooks = found["hooks"] or [[] for _each in istiods]
    full = {"kubernetes.io/metadata.name": namespace, **namespace_labels}
    selected = [
        istiod
        for istiod, pairs in zip(istiods, hooks, strict=True)
        if any(selector_matches(one, full) and selector_matches(two, pod_labels) for one, two in pairs)
    ]
    if selected:
        return selected
    injects = pod_labels.get("sidecar.istio.io/inject")
    label = namespace_labels.get("istio-injection")
    revision = "" if label else namespace_labels.get("istio.io/rev") or pod_labels.get("istio.io/rev") or ""
    if injects == "false" or label == "disabled" or not (injects == "true" or label == "enabled" or revision):
        return []
    wanted = revision or "default"
    unknown = [istiod for istiod, pairs in zip(istiods, hooks, strict=True) if not pairs]
    return [each for each in unknown if wanted == each["revision"] or wanted in each["tags"]]


# --- choice ------------------------------------------------------------


class ChoiceError(ValueError):
    """Not exactly one control plane matches. The message lists the candidates and how to choose."""


def describe(record: Mapping[str, Any]) -> str:
    """One candidate in a message: namespace/name, revision, tags, state."""
    state = {True: "ready", False: "not ready"}.get(record["ready"], "state unknown")
    tags = f", tags {', '.join(record['tags'])}" if record["tags"] else ""
    return f"{record['namespace']}/{record['name'] or record['address']} (revision {record['revision']}{tags}, {state})"


def choose(
    found: Mapping[str, Any],
    *,
    namespace_labels: Mapping[str, str] | None = None,
    for_namespace: str | None = None,
    revision: str | None = None,
    namespace: str | None = None,
) -> Json:
    """The only control plane that matches, or ChoiceError.

    found: result of `discover()`. namespace_labels: labels of the namespace `for_namespace`, None when they could not
    be read. `revision` is a revision or, where no istiod has that revision, a tag.
    """
    istiods: list[Json] = list(found["istiods"])
    if not istiods:
        raise ChoiceError("no istiod found: no Deployment, Service or injector of istiod exists. Install Istio first")
    left = set(range(len(istiods)))
    narrowed: list[str] = []
    if namespace:
        left &= {i for i, r in enumerate(istiods) if r["namespace"] == namespace}
        narrowed.append(f"in namespace {namespace}")
    if revision:
        exact = {i for i in left if istiods[i]["revision"] == revision}
        left = exact or {i for i in left if revision in istiods[i]["tags"]}
        narrowed.append(f"of revision or tag {revision}")
    if for_namespace:
        fitting, why = _of_namespace(found, for_namespace, namespace_labels)
        left &= fitting
        narrowed.append(f"for namespace {for_namespace} ({why})")
    if len(left) == 1:
        return istiods[left.pop()]
    criteria = " ".join(narrowed)
    if left:
        candidates = "; ".join(describe(istiods[i]) for i in sorted(left))
        text = f"{len(left)} istiods {criteria}".rstrip() + f": {candidates}"
    else:
        text = f"no istiod {criteria}; found: {'; '.join(map(describe, istiods))}"
    raise ChoiceError(f"{text}. Set revision, namespace or for_namespace to choose one")


def _of_namespace(found: Mapping[str, Any], name: str, labels: Mapping[str, str] | None) -> tuple[set[int], str]:
    """(indexes of the istiods selected by a namespace's labels, description of those labels).

    The injectors' selectors decide, as in the cluster; this covers moved tags, disabled injectors and both labels.
    Only where no injector selects the namespace, its revision label is compared with the istiods.
    """
    every = set(range(len(found["istiods"])))
    if labels is None:
        return every, "whose labels could not be read"
    present = [f"{key}={labels[key]}" for key in ("istio-injection", "istio.io/rev") if key in labels]
    words = ", ".join(present) or "which has no injection label"
    selectors = found["selectors"]
    full = {"kubernetes.io/metadata.name": name, **labels}
    if selectors is not None:
        injecting = {i for i in every if any(selector_matches(selector, full) for selector in selectors[i])}
        if injecting:
            return injecting, words
    wanted = labels.get("istio.io/rev") if "istio-injection" not in labels else None
    if labels.get("istio-injection") == INJECTION_ENABLED["istio-injection"]:
        if selectors is not None:
            return set(), f"{words}, which no injector matches"
        wanted = "default"
    if not wanted:
        return every, words
    by_tag = {i for i in every if wanted in found["istiods"][i]["tags"]}
    by_revision = {i for i in every if wanted == found["istiods"][i]["revision"]}
    return by_tag | by_revision, words
