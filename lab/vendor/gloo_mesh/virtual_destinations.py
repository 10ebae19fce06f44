"""From a VirtualDestination to Istio objects in each cluster. Pure."""

from __future__ import annotations

import hashlib

import yaml

from lab.control_plane.objects import Object, Reader, is_ip, labels_of
from lab.vendor.gloo_mesh.translation import Translation, digest, istio_object, object_name, reference
from lab.vendor.gloo_mesh.workspaces import GatewayAddress, Mesh, east_west_gateways, exported_to, select


def translate_destination(mesh: Mesh, destination: Object, roots_differ: str) -> Translation:
    """roots_differ: why the clusters do not trust each other, empty when they do."""
    metadata, spec = destination["metadata"], destination["spec"]
    workspace = mesh.workspace_of(mesh.management, metadata["namespace"], config=True)
    if workspace is None:
        message = f"namespace {metadata['namespace']} of cluster {mesh.management} is in no workspace"
        return Translation("PENDING", message, {"numSelectedBackingServices": 0}, {})
    members, warnings = mesh.members(workspace), []
    backing: dict[str, Object] = {}
    for name, reader in members.items():
        chosen = select(spec.get("services") or [], name, reader)
        chosen = [s for s in chosen if mesh.workspace_of(name, s["metadata"]["namespace"]) == workspace]
        chosen = [s for s in chosen if s["spec"].get("selector")]
        serving = [s for s in chosen if all(_has_port(s, port) for port in spec["ports"])]
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
        "ownedByWorkspace": reference(workspace),
        "selectedBackingServices": [{**reference(service), "cluster": name} for name, service in backing.items()],
    }
    state = "WARNING" if warnings else "ACCEPTED"
    if roots_differ and len(backing) > 1:
        return Translation("WARNING", "; ".join([*warnings, roots_differ]), extra, {}, keep=True)
    objects = _destination_objects(mesh, destination, workspace, members, backing) if backing else {}
    return Translation(state, "; ".join(warnings), extra, objects)


def _destination_objects(
    mesh: Mesh, destination: Object, workspace: Object, members: dict[str, Reader], backing: dict[str, Object]
) -> dict[str, list[Object]]:
    metadata, spec = destination["metadata"], destination["spec"]
    namespace, owner = metadata["namespace"], workspace["metadata"]["name"]
    host = (spec.get("hosts") or [f"{metadata['name']}.{namespace}.mesh.internal"])[0]
    options = mesh.settings_of(workspace)
    addresses: dict[str, list[GatewayAddress]] = {}
    for name in backing:
        addresses[name] = [
            address for _, found in east_west_gateways(options, name, members[name]) for address in found
        ]
    accounts = {account for name, service in backing.items() for account in identities(members[name], service)}
    result: dict[str, list[Object]] = {}
    for name, reader in members.items():
        if reader.get("Namespace", namespace) is None:
            continue
        local = backing.get(name) or next(iter(backing.values()))
        labels: dict[str, str] = local["spec"]["selector"]
        remote = [(other, address) for other in backing if other != name for address in addresses[other]]
        by_name = any(not is_ip(address.address) for _, address in remote)
        entry = {
            "hosts": spec.get("hosts") or [host],
            "addresses": [_virtual_ip(host)],
            "location": "MESH_INTERNAL",
            "resolution": "DNS" if by_name else "STATIC",
            "ports": [_entry_port(port) for port in spec["ports"]],
            "exportTo": exported_to(workspace),
            "workloadSelector": {"labels": labels},
        }
        about = (name, mesh, destination, "VirtualDestination", owner)
        objects = [istio_object("ServiceEntry", object_name("vd", host, owner), entry, *about)]
        for other, address in remote:
            unique = object_name("vd", host, owner, digest(f"{other}/{address.address}/{address.port}"))
            objects.append(
                istio_object("WorkloadEntry", unique, _remote(spec, labels, other, address), *about, labels=labels)
            )
        tls: Object = {"mode": "ISTIO_MUTUAL", "subjectAltNames": sorted(accounts)}
        levels = [{"port": {"number": port["number"]}, "tls": tls} for port in spec["ports"]]
        rule = {"host": host, "trafficPolicy": {"portLevelSettings": levels}, "exportTo": exported_to(workspace)}
        unique = f"{object_name(host)}-virtual-dest-{digest(f'{namespace}/{owner}')}"
        objects.append(istio_object("DestinationRule", unique, rule, *about))
        result[name] = objects
    return result


def identities(reader: Reader, service: Object) -> set[str]:
    """SPIFFE IDs of the workloads behind a Service; those of Deployments stay when they are scaled to 0."""
    namespace, selector = service["metadata"]["namespace"], service["spec"]["selector"]
    domain = trust_domain(reader)
    templates = [deployment["spec"]["template"] for deployment in reader.list("Deployment", namespace)]
    return {
        f"spiffe://{domain}/ns/{namespace}/sa/{workload['spec'].get('serviceAccountName') or 'default'}"
        for workload in [*templates, *reader.list("Pod", namespace)]
        if selector.items() <= labels_of(workload).items()
    }


def trust_domain(reader: Reader) -> str:
    """The mesh's trust domain in istiod's ConfigMap."""
    for config in reader.list("ConfigMap"):
        name = config["metadata"]["name"]
        if (name == "istio" or name.startswith("istio-")) and "mesh" in (config.get("data") or {}):
            return str((yaml.safe_load(config["data"]["mesh"]) or {}).get("trustDomain") or "cluster.local")
    return "cluster.local"


def _entry_port(port: Object) -> Object:
    entry = {"name": _port_name(port), "number": port["number"], "protocol": port["protocol"]}
    target = (port.get("targetPort") or {}).get("number")
    return {**entry, **({"targetPort": target} if target else {})}


def _port_name(port: Object) -> str:
    return f"{port['protocol'].lower()}-{port['number']}"


def _has_port(service: Object, port: Object) -> bool:
    wanted = port.get("targetPort") or {"number": port["number"]}
    return any(
        (wanted.get("number") == p["port"]) if wanted.get("number") else (wanted.get("name") == p.get("name"))
        for p in service["spec"].get("ports") or []
    )


def _remote(spec: Object, labels: dict[str, str], cluster: str, address: GatewayAddress) -> Object:
    return {
        "address": address.address,
        "labels": {**labels, "security.istio.io/tlsMode": "istio"},
        "locality": cluster,
        "ports": {_port_name(port): address.port for port in spec["ports"]},
    }


def _virtual_ip(host: str) -> str:
    digest = hashlib.sha256(host.encode()).digest()
    return f"240.{digest[0]}.{digest[1]}.{digest[2] % 254 + 1}"
