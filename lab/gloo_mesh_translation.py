"""What the played Gloo Mesh makes of VirtualDestinations and RouteTables. Pure: state in, objects and statuses out.

Names, labels and contents of the Istio objects follow dumps of live setups; exact names differ between Gloo versions,
so nobody should select by them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml

from lab.gloo_gateway_routes import Reader

Object = dict[str, Any]

ISTIO = "networking.istio.io/v1"
OUTPUT_LABELS = {
    "owner.gloo.solo.io/name": "gloo-mesh",
    "reconciler.mesh.gloo.solo.io/name": "translator",
    "agent.gloo.solo.io": "gloo-mesh",
}
OUTPUT_KINDS = ("ServiceEntry", "WorkloadEntry", "DestinationRule", "VirtualService")


class Outcome(NamedTuple):
    """state and message of a Gloo object, what else its status says, its output by cluster name."""

    state: str
    message: str
    extra: Object
    objects: dict[str, list[Object]]
    keep: bool = False  # leave the output that is there: the new version cannot be translated now


class Mesh(NamedTuple):
    """Everything the translation looks at: the management cluster and the connected clusters by registered name."""

    management: str
    config: Reader
    clusters: dict[str, Reader]

    def workspace_of(self, cluster: str, namespace: str, config: bool = False) -> Object | None:
        """The oldest Workspace this namespace is in (config: and from which it reads Gloo objects)."""
        reader = self.config if cluster == self.management else self.clusters.get(cluster, self.config)
        labels = (reader.get("Namespace", namespace) or {"metadata": {}})["metadata"].get("labels") or {}
        for workspace in sorted(self.config.list("Workspace"), key=age):
            if in_workspace(workspace, cluster, namespace, labels, config):
                return workspace
        return None

    def members(self, workspace: Object) -> dict[str, Reader]:
        """The connected clusters of a Workspace."""
        told = [entry.get("name", "*") for entry in workspace["spec"].get("workloadClusters") or []]
        return {name: reader for name, reader in self.clusters.items() if any(_fits(t, name) for t in told)}

    def settings_of(self, workspace: Object) -> Object:
        """options of the WorkspaceSettings that sits in a namespace of the Workspace; {} when there is none."""
        for settings in sorted(self.config.list("WorkspaceSettings"), key=age):
            owner = self.workspace_of(self.management, settings["metadata"]["namespace"])
            if owner is not None and owner["metadata"]["uid"] == workspace["metadata"]["uid"]:
                return settings["spec"].get("options") or {}
        return {}


class Gateway(NamedTuple):
    """An east-west gateway's way in."""

    address: str
    port: int


def in_workspace(workspace: Object, cluster: str, namespace: str, labels: dict[str, str], config: bool) -> bool:
    """Whether a Workspace selects this namespace of this cluster."""
    for told in workspace["spec"].get("workloadClusters") or []:
        if not _fits(told.get("name", "*"), cluster) or (config and not told.get("configEnabled", True)):
            continue
        for entry in told.get("namespaces") or []:
            wanted = entry.get("labels") or {}
            named = _fits(entry.get("name", "*"), namespace) and wanted.items() <= labels.items()
            if named and not (config and not entry.get("configEnabled", True)):
                return True
    return False


def east_west_gateways(options: Object, cluster: str, reader: Reader) -> list[tuple[Object, list[Gateway]]]:
    """Services of a cluster that WorkspaceSettings select, each with its addresses ([] while pending)."""
    selectors = options.get("eastWestGateways") or [{"selector": {"labels": {"istio": "eastwestgateway"}}}]
    found: dict[str, tuple[Object, list[Gateway]]] = {}
    for told in selectors:
        selector = told.get("selector") or {"labels": {"istio": "eastwestgateway"}}
        for service in select([selector], cluster, reader):
            ports = {p.get("name"): p["port"] for p in service["spec"].get("ports") or []}
            port = ports.get("tls") or ports.get("https")
            if not port:
                continue
            overrides = [
                Gateway(o["addr"], int((o.get("port") or {}).get("number") or port))
                for o in told.get("hostInfoOverrides") or []
            ]
            ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
            given = [Gateway(i.get("ip") or i.get("hostname") or "", port) for i in ingress]
            found.setdefault(service["metadata"]["uid"], (service, overrides or [g for g in given if g.address]))
    return list(found.values())


def select(selectors: Iterable[Object], cluster: str, reader: Reader) -> list[Object]:
    """Services of a cluster that any of the ObjectSelectors fits, oldest first; an empty field fits everything."""
    found = []
    for service in reader.list("Service"):
        metadata = service["metadata"]
        labels = metadata.get("labels") or {}
        for selector in selectors:
            fits = (
                selector.get("cluster") in (None, "", cluster)
                and selector.get("namespace") in (None, "", metadata["namespace"])
                and selector.get("name") in (None, "", metadata["name"])
                and (selector.get("labels") or {}).items() <= labels.items()
            )
            if fits:
                found.append(service)
                break
    return sorted(found, key=age)


def translate_destination(mesh: Mesh, destination: Object, roots_differ: str) -> Outcome:
    """A VirtualDestination's outcome. roots_differ: why the clusters do not trust each other, empty when they do."""
    metadata, spec = destination["metadata"], destination["spec"]
    workspace = mesh.workspace_of(mesh.management, metadata["namespace"], config=True)
    if workspace is None:
        told = f"namespace {metadata['namespace']} of cluster {mesh.management} is in no workspace"
        return Outcome("PENDING", told, {"numSelectedBackingServices": 0}, {})
    members, warnings = mesh.members(workspace), []
    backing: dict[str, Object] = {}
    for name, reader in members.items():
        chosen = select(spec.get("services") or [], name, reader)
        chosen = [s for s in chosen if mesh.workspace_of(name, s["metadata"]["namespace"]) is not None]
        chosen = [s for s in chosen if s["spec"].get("selector")]
        serving = [s for s in chosen if all(_target(s, port) for port in spec["ports"])]
        if chosen and not serving:
            warnings.append(f"no service in cluster {name} has the ports of the virtual destination")
        if len(serving) > 1:
            listed = ", ".join(f"{s['metadata']['namespace']}/{s['metadata']['name']}" for s in serving)
            warnings.append(f"more than one service selected in cluster {name} ({listed}), the oldest is used")
        if serving:
            backing[name] = serving[0]
    extra = {
        "numSelectedBackingServices": len(backing),
        "numAppliedDestinationPolicies": 0,
        "ownedByWorkspace": _ref(workspace),
        "selectedBackingServices": [{**_ref(service), "cluster": name} for name, service in backing.items()],
    }
    state = "WARNING" if warnings else "ACCEPTED"
    if roots_differ and len(backing) > 1:
        return Outcome("WARNING", "; ".join([*warnings, roots_differ]), extra, {}, keep=True)
    objects = _destination_objects(mesh, destination, workspace, members, backing) if backing else {}
    return Outcome(state, "; ".join(warnings), extra, objects)


def _destination_objects(
    mesh: Mesh, destination: Object, workspace: Object, members: dict[str, Reader], backing: dict[str, Object]
) -> dict[str, list[Object]]:
    metadata, spec = destination["metadata"], destination["spec"]
    namespace, owner = metadata["namespace"], workspace["metadata"]["name"]
    host = (spec.get("hosts") or [f"{metadata['name']}.{namespace}.mesh.internal"])[0]
    options = mesh.settings_of(workspace)
    ways: dict[str, list[Gateway]] = {}
    for name in backing:
        ways[name] = [way for _, given in east_west_gateways(options, name, members[name]) for way in given]
    accounts = {account for name, service in backing.items() for account in identities(members[name], service)}
    result: dict[str, list[Object]] = {}
    for name, reader in members.items():
        if reader.get("Namespace", namespace) is None:
            continue
        local = backing.get(name) or next(iter(backing.values()))
        labels: dict[str, str] = local["spec"]["selector"]
        remote = [(other, way) for other in backing if other != name for way in ways[other]]
        by_name = any(not _is_ip(way.address) for _, way in remote)
        common = {
            "hosts": spec.get("hosts") or [host],
            "addresses": [_virtual_ip(host)],
            "location": "MESH_INTERNAL",
            "resolution": "DNS" if by_name else "STATIC",
            "ports": [_entry_port(port) for port in spec["ports"]],
            "exportTo": _exported(workspace),
        }
        if by_name:  # DNS takes no workload selector: the addresses stand in the entry itself
            entry = {**common, "endpoints": [_remote(spec, labels, other, way) for other, way in remote]}
        else:
            entry = {**common, "workloadSelector": {"labels": labels}}
        about = (name, mesh, destination, "VirtualDestination", owner)
        objects = [_output("ServiceEntry", _name("vd", host, owner), entry, *about)]
        for other, way in remote:
            if by_name:
                break
            unique = _name("vd", host, owner, _hash(f"{other}/{way.address}/{way.port}"))
            objects.append(_output("WorkloadEntry", unique, _remote(spec, labels, other, way), *about, labels=labels))
        tls: Object = {"mode": "ISTIO_MUTUAL", "subjectAltNames": sorted(accounts)}
        levels = [{"port": {"number": port["number"]}, "tls": tls} for port in spec["ports"]]
        rule = {"host": host, "trafficPolicy": {"portLevelSettings": levels}, "exportTo": _exported(workspace)}
        unique = f"{_name(host)}-virtual-dest-{_hash(f'{namespace}/{owner}')}"
        objects.append(_output("DestinationRule", unique, rule, *about))
        result[name] = objects
    return result


def translate_routes(mesh: Mesh, table: Object) -> Outcome:
    """A RouteTable's outcome: a VirtualService in each cluster where a selected workload runs."""
    metadata, spec = table["metadata"], table["spec"]
    namespace = metadata["namespace"]
    workspace = mesh.workspace_of(mesh.management, namespace, config=True)
    if workspace is None:
        return Outcome("PENDING", f"namespace {namespace} of cluster {mesh.management} is in no workspace", {}, {})
    owner = workspace["metadata"]["name"]
    extra: Object = {"ownedByWorkspace": _ref(workspace), "numAppliedRoutePolicies": 0, "numParentRouteTables": 0}
    selectors = [told.get("selector") or {} for told in spec.get("workloadSelectors") or []]
    missing: list[str] = []
    http = []
    for route in spec.get("http") or []:
        matchers = route.get("matchers") or [{}]
        entry: Object = {"match": [m for told in matchers for m in _matches(told, selectors)]}
        entry["name"] = "-".join(part for part in (route.get("name"), metadata["name"], namespace) if part)
        entry["route"] = [
            _destination(mesh, namespace, told, missing)
            for told in (route.get("forwardTo") or {}).get("destinations") or []
        ]
        rewrite = {"uri": "pathRewrite", "authority": "hostRewrite"}
        rewritten = {k: route["forwardTo"][v] for k, v in rewrite.items() if (route.get("forwardTo") or {}).get(v)}
        http.append({**entry, **({"rewrite": rewritten} if rewritten else {})})
    if missing:
        return Outcome("INVALID", "; ".join(dict.fromkeys(missing)), extra, {}, keep=True)
    result: dict[str, list[Object]] = {}
    for name, reader in mesh.members(workspace).items():
        if reader.get("Namespace", namespace) is None or not _workloads(selectors, name, reader):
            continue
        service = {"hosts": spec.get("hosts") or ["*"], "gateways": ["mesh"], "http": http}
        unique = _name("routetable", metadata["name"], namespace, name, owner)
        result[name] = [_output("VirtualService", unique, service, name, mesh, table, "RouteTable", owner)]
    return Outcome("ACCEPTED", "", extra, result)


def identities(reader: Reader, service: Object) -> set[str]:
    """SPIFFE names of the workloads behind a Service: of their Deployments, so that scaling to 0 changes nothing."""
    namespace, selector = service["metadata"]["namespace"], service["spec"]["selector"]
    domain = trust_domain(reader)
    found = set()
    for deployment in reader.list("Deployment", namespace):
        template = deployment["spec"]["template"]
        if selector.items() <= (template["metadata"].get("labels") or {}).items():
            account = template["spec"].get("serviceAccountName") or "default"
            found.add(f"spiffe://{domain}/ns/{namespace}/sa/{account}")
    return found


def trust_domain(reader: Reader) -> str:
    """The mesh's trust domain as istiod's ConfigMap says it."""
    for config in reader.list("ConfigMap"):
        name = config["metadata"]["name"]
        if (name == "istio" or name.startswith("istio-")) and "mesh" in (config.get("data") or {}):
            return str((yaml.safe_load(config["data"]["mesh"]) or {}).get("trustDomain") or "cluster.local")
    return "cluster.local"


def common_status(outcome: Outcome, generation: int) -> Object:
    """Status as all Gloo kinds but RootTrustPolicy carry it; the capital S is the vendor's."""
    state: Object = {"approval": outcome.state, "observedGeneration": generation}
    if outcome.message:
        state["message"] = outcome.message
    return {"common": {"State": state}, **outcome.extra}


def age(obj: Object) -> tuple[str, str, str]:
    """Sort key: oldest first."""
    metadata = obj["metadata"]
    return metadata.get("creationTimestamp") or "", metadata.get("namespace") or "", metadata["name"]


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


def _destination(mesh: Mesh, namespace: str, told: Object, missing: list[str]) -> Object:
    ref, number = told.get("ref") or {}, (told.get("port") or {}).get("number")
    where = ref.get("namespace") or namespace
    host = f"{ref.get('name')}.{where}.svc.cluster.local"
    if told.get("kind") == "VIRTUAL_DESTINATION":
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
    if told.get("weight") is not None:
        result["weight"] = told["weight"]
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


def _entry_port(port: Object) -> Object:
    entry = {"name": _port_name(port), "number": port["number"], "protocol": port["protocol"]}
    target = (port.get("targetPort") or {}).get("number")
    return {**entry, **({"targetPort": target} if target else {})}


def _port_name(port: Object) -> str:
    return f"{port['protocol'].lower()}-{port['number']}"


def _target(service: Object, port: Object) -> bool:
    wanted = port.get("targetPort") or {"number": port["number"]}
    return any(
        (wanted.get("number") == p["port"]) if wanted.get("number") else (wanted.get("name") == p.get("name"))
        for p in service["spec"].get("ports") or []
    )


def _remote(spec: Object, labels: dict[str, str], cluster: str, way: Gateway) -> Object:
    return {
        "address": way.address,
        "labels": {**labels, "security.istio.io/tlsMode": "istio"},
        "locality": cluster,
        "ports": {_port_name(port): way.port for port in spec["ports"]},
    }


def _output(
    kind: str,
    name: str,
    spec: Object,
    cluster: str,
    mesh: Mesh,
    parent: Object,
    parent_kind: str,
    workspace: str,
    labels: dict[str, str] | None = None,
) -> Object:
    namespace = parent["metadata"]["namespace"]
    extra = {**(labels or {}), "security.istio.io/tlsMode": "istio"} if kind == "WorkloadEntry" else {}
    return {
        "apiVersion": ISTIO,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                **extra,
                **OUTPUT_LABELS,
                "gloo.solo.io/parent_kind": parent_kind,
                "gloo.solo.io/parent_name": parent["metadata"]["name"],
                "gloo.solo.io/parent_namespace": namespace,
                "gloo.solo.io/parent_cluster": mesh.management,
                "gloo.solo.io/parent_group": "networking.gloo.solo.io",
                "gloo.solo.io/parent_version": "v2",
                "context.mesh.gloo.solo.io/cluster": mesh.management,
                "context.mesh.gloo.solo.io/namespace": namespace,
                "context.mesh.gloo.solo.io/workspace": workspace,
                "relay.solo.io/cluster": cluster,
            },
            "annotations": {"cluster.solo.io/cluster": cluster},
        },
        "spec": spec,
    }


def _name(*parts: str) -> str:
    """Parts joined as a DNS label; a long name is cut and ends in a hash."""
    full = re.sub(r"[^a-z0-9-]+", "-", "-".join(parts).lower()).strip("-")
    return full if len(full) <= 63 else f"{full[:52].rstrip('-')}-{_hash(full)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _virtual_ip(host: str) -> str:
    digest = hashlib.sha256(host.encode()).digest()
    return f"240.{digest[0]}.{digest[1]}.{digest[2] % 254 + 1}"


def _is_ip(address: str) -> bool:
    return bool(re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]+", address))


def _exported(workspace: Object) -> list[str]:
    names = {
        entry.get("name", "*")
        for told in workspace["spec"].get("workloadClusters") or []
        for entry in told.get("namespaces") or []
    }
    return ["*"] if not names or any("*" in name for name in names) else sorted(names)


def _fits(pattern: str, name: str) -> bool:
    return bool(re.fullmatch(re.escape(pattern or "*").replace(r"\*", ".*"), name))


def _ref(obj: Object) -> Object:
    return {key: obj["metadata"][key] for key in ("name", "namespace")}
