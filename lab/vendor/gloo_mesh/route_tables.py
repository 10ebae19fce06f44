"""From a RouteTable to VirtualServices. Pure."""

from __future__ import annotations

from lab.control_plane.objects import Object, Reader
from lab.vendor.gloo_mesh.translation import Translation, istio_object, object_name, reference
from lab.vendor.gloo_mesh.workspaces import Mesh


def translate_routes(mesh: Mesh, table: Object) -> Translation:
    """A VirtualService in each cluster where a selected workload runs."""
    metadata, spec = table["metadata"], table["spec"]
    namespace = metadata["namespace"]
    workspace = mesh.workspace_of(mesh.management, namespace, config=True)
    if workspace is None:
        return Translation("PENDING", f"namespace {namespace} of cluster {mesh.management} is in no workspace", {}, {})
    owner = workspace["metadata"]["name"]
    extra: Object = {"ownedByWorkspace": reference(workspace), "numAppliedRoutePolicies": 0, "numParentRouteTables": 0}
    selectors = [entry.get("selector") or {} for entry in spec.get("workloadSelectors") or []]
    missing: list[str] = []
    http = []
    for route in spec.get("http") or []:
        matchers = route.get("matchers") or [{}]
        entry: Object = {"match": [match for matcher in matchers for match in _matches(matcher, selectors)]}
        entry["name"] = "-".join(part for part in (route.get("name"), metadata["name"], namespace) if part)
        entry["route"] = [
            _destination(mesh, namespace, destination, missing)
            for destination in (route.get("forwardTo") or {}).get("destinations") or []
        ]
        rewrite = {"uri": "pathRewrite", "authority": "hostRewrite"}
        rewritten = {k: route["forwardTo"][v] for k, v in rewrite.items() if (route.get("forwardTo") or {}).get(v)}
        http.append({**entry, **({"rewrite": rewritten} if rewritten else {})})
    if missing:
        return Translation("INVALID", "; ".join(dict.fromkeys(missing)), extra, {}, keep=True)
    result: dict[str, list[Object]] = {}
    for name, reader in mesh.members(workspace).items():
        if reader.get("Namespace", namespace) is None or not _workloads(selectors, name, reader):
            continue
        service = {"hosts": spec.get("hosts") or ["*"], "gateways": ["mesh"], "http": http}
        unique = object_name("routetable", metadata["name"], namespace, name, owner)
        result[name] = [istio_object("VirtualService", unique, service, name, mesh, table, "RouteTable", owner)]
    return Translation("ACCEPTED", "", extra, result)


def _matches(matcher: Object, selectors: list[Object]) -> list[Object]:
    match: Object = {}
    uri = {key: value for key, value in (matcher.get("uri") or {}).items() if key in ("exact", "prefix", "regex")}
    if uri:
        match["uri"] = uri
    if matcher.get("method"):
        match["method"] = {"exact": matcher["method"]}
    if matcher.get("headers"):
        match["headers"] = {
            h["name"]: {"regex" if h.get("regex") else "exact": h.get("value", "")} for h in matcher["headers"]
        }
    labelled = [selector["labels"] for selector in selectors if selector.get("labels")]
    return [{**match, "sourceLabels": labels} for labels in labelled] or [match]


def _destination(mesh: Mesh, namespace: str, destination: Object, missing: list[str]) -> Object:
    ref, number = destination.get("ref") or {}, (destination.get("port") or {}).get("number")
    where = ref.get("namespace") or namespace
    host = f"{ref.get('name')}.{where}.svc.cluster.local"
    if destination.get("kind") == "VIRTUAL_DESTINATION":
        found = mesh.config.get("VirtualDestination", ref.get("name", ""), where)
        if found is None:
            missing.append(f"VirtualDestination {where}/{ref.get('name')} not found in cluster {mesh.management}")
            return {}
        host = (found["spec"].get("hosts") or [host])[0]
        if number not in [port["number"] for port in found["spec"]["ports"]]:
            missing.append(f"VirtualDestination {where}/{ref.get('name')} has no port {number}")
    result: Object = {"destination": {"host": host}}
    if number:
        result["destination"]["port"] = {"number": number}
    if destination.get("weight") is not None:
        result["weight"] = destination["weight"]
    return result


def _workloads(selectors: list[Object], cluster: str, reader: Reader) -> bool:
    if not selectors:
        return True
    for deployment in reader.list("Deployment"):
        labels = deployment["spec"]["template"]["metadata"].get("labels") or {}
        where = deployment["metadata"]["namespace"]
        for selector in selectors:
            placed = selector.get("cluster") in (None, "", cluster) and selector.get("namespace") in (None, "", where)
            named = selector.get("name") in (None, "", deployment["metadata"]["name"])
            if placed and named and (selector.get("labels") or {}).items() <= labels.items():
                return True
    return False
