# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What may go, in which order, and what is told about it.

Programs leave things without our label. One rule tells whose those are: the marker of a release that we installed anew
is written before Helm first runs, so what is older than the marker was there before us and stays (``since``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MANAGED_BY = "app.kubernetes.io/managed-by"
OURS = "multicluster.gloo"

# What a gone istiod leaves beside itself, apart from the root certificate it writes into every namespace.
ISTIO_CONFIG_MAPS = re.compile(
    r"istio-(leader|namespace-controller-election|gateway-status-leader|gateway-deployment-.*|ip-autoallocate|gateway-class-.*)"
)
ROOT_CERTIFICATE = "istio-ca-root-cert"
REVISION = "istio.io/rev"

Record = Mapping[str, Any]
Definition = dict[str, Any]


def definitions(found: Iterable[Record]) -> list[Definition]:
    """Records of objects_info as definitions that name the objects and nothing else."""
    return [_definition(each["api_version"], each["kind"], each.get("namespace") or "", each["name"]) for each in found]


def removals(found: Iterable[Record], named: Iterable[Record], kinds: Iterable[str]) -> list[Definition]:
    """Definitions of all objects of *kinds* that are ours (by label) or *named* (api_version, kind, namespace, name).

    Named ones may have been adopted; what becomes of them is decided by the module objects.
    """
    wanted = list(kinds)
    records = [*(each for each in found if is_ours(each)), *named]
    result = {str(each): each for each in definitions(each for each in records if each["kind"] in wanted)}
    return list(result.values())


def is_ours(record: Record) -> bool:
    """Whether the object of a record carries our label."""
    return _labels(record).get(MANAGED_BY) == OURS


def not_ours(found: Iterable[Record]) -> list[Record]:
    """The records whose objects were there before us."""
    return [each for each in found if not is_ours(each)]


def since(found: Iterable[Record], releases: Iterable[Record]) -> list[Record]:
    """The records whose objects are not older than the earliest marker of *releases* (see ``marked_releases``).

    Releases of others do not count: with none of ours nothing is returned. Both times are the API server's, in seconds.
    """
    start = min((each["created"] for each in releases if each["created"] and each["former_revision"] == 0), default="")
    return [each for each in found if start and _created(each) >= start]


def istio_leftovers(
    found: Iterable[Record], releases: Iterable[Record], namespace: str, leaving: str = ""
) -> list[Definition]:
    """What istiod left since our *releases*: root certificates everywhere, notes and keys in its *namespace*, classes.

    *found* has the Pods of every istiod. One that stays in the namespace keeps everything, one elsewhere keeps what
    all share. *leaving*: the revision in the namespace that would be gone by now (check mode).
    Secret ``cacerts`` only when Gloo Mesh issued it: people put their own CA there by hand.
    """
    records = list(found)
    istiods = {
        each["namespace"]
        for each in records
        if each["kind"] == "Pod"
        and not (leaving and each["namespace"] == namespace and _labels(each).get(REVISION) == leaving)
    }
    if namespace in istiods:
        return []
    left = [each for each in since(records, releases) if _left_by_istio(each, namespace)]
    return definitions(each for each in left if not istiods or each.get("namespace") == namespace)


def _left_by_istio(record: Record, namespace: str) -> bool:
    kind, name, beside = record["kind"], record["name"], record.get("namespace") == namespace
    if kind == "ConfigMap":
        return name == ROOT_CERTIFICATE or (beside and ISTIO_CONFIG_MAPS.fullmatch(name) is not None)
    if kind == "Secret":
        return beside and (name == "istio-ca-secret" or (name == "cacerts" and _issued_by_gloo(record)))
    return kind == "GatewayClass" and _controller(record).startswith("istio.io/")


def _issued_by_gloo(record: Record) -> bool:
    found = record["object"]
    meta = found["metadata"]
    notes = [str(found.get("type", "")), *(meta.get("annotations") or {}), *(meta.get("labels") or {})]
    return any("gloo.solo.io" in note for note in notes)


def controller_leftovers(
    found: Iterable[Record], releases: Iterable[Record], controller_names: Iterable[str], class_name: str = ""
) -> list[Definition]:
    """What our gateway controller left since our *releases*: its GatewayClasses, and the proxies of Gateways that stay.

    Ours is the controller of class *class_name*; when no class is named, the first of *controller_names* that has one.
    """
    young = since(found, releases)
    names = list(controller_names)
    classes = [each for each in young if each["kind"] == "GatewayClass" and _controller(each) in names]
    candidates = [each for each in classes if class_name in ("", each["name"])]
    controller = min(map(_controller, candidates), key=names.index, default="")
    ours = [each for each in classes if _controller(each) == controller]
    class_names = {each["name"] for each in ours}
    proxies = [
        each
        for each in young
        if _labels(each).get("gateway.networking.k8s.io/gateway-class-name") in class_names
        and each["kind"] in ("Deployment", "Service", "ServiceAccount", "ConfigMap")
        and any(owner.get("kind") == "Gateway" for owner in each["object"]["metadata"].get("ownerReferences") or ())
    ]
    return definitions([*proxies, *ours])


def vendor_crds(found: Iterable[Record], releases: Iterable[Record]) -> list[Record]:
    """Records of the CRDs that came with us: of a group that one of our *releases* brings, and since its marker.

    Those with our label (Gateway API) always.
    """
    brought: dict[str, list[Record]] = {}
    for release in releases:
        for group in release["groups"]:
            brought.setdefault(group, []).append(release)
    crds = [each for each in found if each["kind"] == "CustomResourceDefinition"]
    return [each for each in crds if is_ours(each) or since([each], brought.get(each["object"]["spec"]["group"], ()))]


def cleanup_lines(records: Iterable[Record], releases: Iterable[Record], remaining: Iterable[Record]) -> list[str]:
    """The summary of one cluster.

    *records*: what objects returned (with ``action``, and ``reason`` where something was kept).
    *releases*: ``{name, namespace, action}`` of Helm releases.
    *remaining*: records of objects_info that stay although they are due to us, each with the reason.
    """
    lines: dict[str, list[str]] = {"removed": [], "given back": [], "kept": []}
    titles = {"deleted": "removed", "released": "given back", "kept": "kept"}
    for record in records:
        title = titles.get(record.get("action", ""))
        if title:
            lines[title].append(
                _title(record) + (f" ({record['reason']})" if title == "kept" and record.get("reason") else "")
            )
    for release in releases:
        lines[release["action"]].append(f"Helm release {release['namespace']}/{release['name']}")
    result = [f"{title}: {', '.join(dict.fromkeys(names))}" for title, names in lines.items() if names]
    left = list(dict.fromkeys(_title(each) for each in remaining))
    if left:
        result.append(f"still there without cleanup_vendor_crds=true: {', '.join(left)}")
    return result or ["nothing to remove"]


def _title(record: Record) -> str:
    place = f"{record['namespace']}/" if record.get("namespace") else ""
    return f"{record['kind']} {place}{record['name']}"


def _controller(gateway_class: Record) -> str:
    return str((gateway_class["object"].get("spec") or {}).get("controllerName", ""))


def _created(record: Record) -> str:
    return str(((record.get("object") or {}).get("metadata") or {}).get("creationTimestamp") or "")


def _labels(record: Record) -> Mapping[str, str]:
    return ((record.get("object") or {}).get("metadata") or {}).get("labels") or {}


def _definition(api_version: str, kind: str, namespace: str, name: str) -> Definition:
    metadata = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {
            "definitions": definitions,
            "removals": removals,
            "not_ours": not_ours,
            "since": since,
            "istio_leftovers": istio_leftovers,
            "controller_leftovers": controller_leftovers,
            "vendor_crds": vendor_crds,
            "cleanup_lines": cleanup_lines,
        }
