# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with routing's variables, before anything is written.

Says only what is known to fail: that something is missing in a cluster, the API server or the proof tells better.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from ..module_utils.k8s.names import dns_label, dns_name
from ..test.values import host_port
from ..test.values import port as port_number

Record = Mapping[str, Any]
Offers = Mapping[str, Mapping[int, str]]

HOSTNAME_GROUP = "networking.istio.io"
# One part of an equality selector; fields.parse_selector() reads no other.
LABEL_IS = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9._/-]*\s*==?\s*[A-Za-z0-9._-]+\s*")


def routing_problems(data: Mapping[str, Mapping[str, Any]], needed: Iterable[str] = ()) -> list[str]:
    """A sentence for every value that cannot work, each with its path in the variables.

    *data*: lists by variable name, by what they are: ``{"http_routes": {"routing_http_routes": [...]}}``, likewise
    ``virtual_destinations``, ``route_tables``, ``mesh_proofs`` and ``gateway_proofs``. *needed*: variables that must
    not be empty.
    """
    wanted = set(needed)
    result = []
    offers = _offers(data.get("virtual_destinations") or {})
    for part, check in _CHECKS.items():
        for variable, entries in (data.get(part) or {}).items():
            if not isinstance(entries, list):
                result.append(f"{variable} is {_shown(entries)}: give a list")
            elif not entries and variable in wanted:
                result.append(f"{variable} is empty: give at least one entry")
            else:
                for place, entry in enumerate(entries):
                    result += check(f"{variable}[{place}]", entry, offers)
    return result


def _offers(destinations: Mapping[str, Any]) -> dict[str, dict[int, str]]:
    """Ports by host of all VirtualDestinations, each with the one that offers it; as far as they can be read."""
    result: dict[str, dict[int, str]] = {}
    for entries in destinations.values():
        for each in entries if isinstance(entries, list) else ():
            spec = each.get("spec") if isinstance(each, Mapping) else None
            if isinstance(spec, Mapping):
                owner = f"{each.get('namespace')}/{each.get('name')}"
                numbers = [port.get("number") for port in _mappings(spec.get("ports"))]
                for host in _list(spec.get("hosts")):
                    offered = result.setdefault(str(host), {})
                    offered.update({number: owner for number in numbers if _is_port(number)})
    return result


# -- objects ----------------------------------------------------------------------------------------------------------


def _object(path: str, entry: Any) -> Iterator[str]:
    """An entry of name, namespace and spec."""
    if not isinstance(entry, Mapping):
        yield f"{path} is {_shown(entry)}: give name, namespace and spec"
        return
    if not dns_name(entry.get("name")):
        yield f"{path}.name is {_shown(entry.get('name'))}: give a name of lower case letters, digits, dashes and dots"
    if not dns_label(entry.get("namespace")):
        yield f"{path}.namespace is {_shown(entry.get('namespace'))}: give a namespace of lower case letters and digits"
    if not isinstance(entry.get("spec"), Mapping):
        yield f"{path}.spec is {_shown(entry.get('spec'))}: give the object's spec"


def _route_table(path: str, entry: Any, _offers: Offers) -> Iterator[str]:
    yield from _object(path, entry)


def _virtual_destination(path: str, entry: Any, _offers: Offers) -> Iterator[str]:
    yield from _object(path, entry)
    spec, path = _spec(entry), f"{_title(path, 'VirtualDestination', entry)}.spec"
    if spec is None:
        return
    for field in ("hosts", "ports"):
        if not _list(spec.get(field)):
            yield f"{path}.{field} is {_shown(spec.get(field))}: give a list of at least one entry"
    for place, host in enumerate(_list(spec.get("hosts"))):
        if not dns_name(host):
            yield f"{path}.hosts[{place}] is {_shown(host)}: give a DNS name in lower case, without wildcard"
    for place, port in enumerate(_list(spec.get("ports"))):
        number = port.get("number") if isinstance(port, Mapping) else port
        if not isinstance(port, Mapping) or not _is_port(number):
            yield f"{path}.ports[{place}].number is {_shown(number)}: {_port_hint(number)}"


def _http_route(path: str, entry: Any, offers: Offers) -> Iterator[str]:
    yield from _object(path, entry)
    spec, path = _spec(entry), f"{_title(path, 'HTTPRoute', entry)}.spec"
    if spec is None:
        return
    if not _list(spec.get("parentRefs")):
        yield f"{path}.parentRefs is {_shown(spec.get('parentRefs'))}: name a Gateway, or none would take the route"
    for place, ref in enumerate(_list(spec.get("parentRefs"))):
        yield from _parent(f"{path}.parentRefs[{place}]", ref)
    for place, host in enumerate(_list(spec.get("hostnames"))):
        if not isinstance(host, str) or not dns_name(host.removeprefix("*.")):
            yield f"{path}.hostnames[{place}] is {_shown(host)}: give a DNS name in lower case, or *.name"
    if not spec.get("rules", True):
        yield f"{path}.rules is {_shown(spec['rules'])}: give at least one rule"
    for place, rule in enumerate(_mappings(spec.get("rules"))):
        if not rule.get("backendRefs") and not rule.get("filters"):
            shown = _shown(rule.get("backendRefs"))
            yield f"{path}.rules[{place}].backendRefs is {shown}: give at least one, or filters that answer"
        for number, ref in enumerate(_list(rule.get("backendRefs"))):
            yield from _backend(f"{path}.rules[{place}].backendRefs[{number}]", ref, offers)


def _parent(path: str, ref: Any) -> Iterator[str]:
    if not isinstance(ref, Mapping) or not dns_name(ref.get("name")):
        yield f"{path}.name is {_shown(ref.get('name') if isinstance(ref, Mapping) else ref)}: give a Gateway's name"
        return
    if "namespace" in ref and not dns_label(ref["namespace"]):
        yield f"{path}.namespace is {_shown(ref['namespace'])}: give the Gateway's namespace"
    if "port" in ref and not _is_port(ref["port"]):
        yield f"{path}.port is {_shown(ref['port'])}: {_port_hint(ref['port'])}"


def _backend(path: str, ref: Any, offers: Offers) -> Iterator[str]:
    if not isinstance(ref, Mapping):
        yield f"{path} is {_shown(ref)}: give name and port of a backend"
        return
    kind, group, name, port = ref.get("kind", "Service"), ref.get("group", ""), ref.get("name"), ref.get("port")
    if kind == "Hostname":
        if group != HOSTNAME_GROUP:
            yield f"{path}.group is {_shown(group)}: kind Hostname is of group {HOSTNAME_GROUP}"
        if "namespace" in ref:
            yield f"{path}.namespace is {_shown(ref['namespace'])}: a Hostname has no namespace, remove it"
    elif "namespace" in ref and not dns_label(ref["namespace"]):
        yield f"{path}.namespace is {_shown(ref['namespace'])}: give the backend's namespace"
    if not dns_name(name):
        what = "a DNS name in lower case, as spec.hosts of the VirtualDestination has it"
        yield f"{path}.name is {_shown(name)}: give {what if kind == 'Hostname' else f'the name of a {kind}'}"
    # Other kinds know their port themselves.
    if (port is not None or kind in ("Service", "Hostname")) and not _is_port(port):
        yield f"{path}.port is {_shown(port)}: {_port_hint(port)}"
    elif kind == "Hostname" and (ports := offers.get(str(name))) and port not in ports:
        owners = ", ".join(dict.fromkeys(ports.values()))
        right = " or ".join(str(number) for number in sorted(ports))
        yield f"{path}.port is {port}: VirtualDestination {owners} offers {name} on port {right}, set that"


# -- proofs -----------------------------------------------------------------------------------------------------------


def _proof(path: str, entry: Any) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{path} is {_shown(entry)}: give name, path and answered_by"
        return
    if not isinstance(entry.get("name"), str) or not entry["name"]:
        yield f"{path}.name is {_shown(entry.get('name'))}: say what is proven"
    if not isinstance(entry.get("path"), str) or not entry["path"].startswith("/"):
        yield f"{path}.path is {_shown(entry.get('path'))}: give the path of a request, beginning with /"
    yield from _selection(f"{path}.answered_by", entry.get("answered_by"))


def _gateway_proof(path: str, entry: Any, _offers: Offers) -> Iterator[str]:
    yield from _proof(path, entry)
    host = entry.get("host") if isinstance(entry, Mapping) else None
    if host and not (dns_name(host) or host_port(host)):
        yield f"{path}.host is {_shown(host)}: give a host name in lower case, with or without port"


def _mesh_proof(path: str, entry: Any, _offers: Offers) -> Iterator[str]:
    yield from _proof(path, entry)
    if isinstance(entry, Mapping):
        source = entry.get("from_pod")
        yield from _selection(f"{path}.from_pod", source)
        # A role's option, not an API field: digits as text are fine.
        if isinstance(source, Mapping) and not port_number(source.get("port")):
            yield f"{path}.from_pod.port is {_shown(source.get('port'))}: {_port_hint(source.get('port'))}"


def _selection(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield f"{path} is {_shown(value)}: give namespace and label_selector"
        return
    if not dns_label(value.get("namespace")):
        yield f"{path}.namespace is {_shown(value.get('namespace'))}: give the namespace of Deployments and Pods"
    selector = value.get("label_selector")
    if not isinstance(selector, str) or not all(LABEL_IS.fullmatch(part) for part in selector.split(",")):
        yield f"{path}.label_selector is {_shown(selector)}: give labels such as app=reviews,version=v1"


_CHECKS: dict[str, Callable[[str, Any, Offers], Iterator[str]]] = {
    "virtual_destinations": _virtual_destination,
    "route_tables": _route_table,
    "http_routes": _http_route,
    "mesh_proofs": _mesh_proof,
    "gateway_proofs": _gateway_proof,
}


# -- small readers ----------------------------------------------------------------------------------------------------


def _title(path: str, kind: str, entry: Any) -> str:
    """The path with the object it belongs to, for what is wrong inside its spec."""
    if isinstance(entry, Mapping) and entry.get("name") and entry.get("namespace"):
        return f"{kind} {entry['namespace']}/{entry['name']}: {path}"
    return path


def _spec(entry: Any) -> Record | None:
    spec = entry.get("spec") if isinstance(entry, Mapping) else None
    return spec if isinstance(spec, Mapping) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mappings(value: Any) -> list[Record]:
    return [each for each in _list(value) if isinstance(each, Mapping)]


def _is_port(value: Any) -> TypeGuard[int]:
    """A port as the API takes it: text is refused there."""
    return isinstance(value, int) and port_number(value)


def _port_hint(value: Any) -> str:
    return "give it as a number, not as text" if isinstance(value, str) and port_number(value) else "give 1 to 65535"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str | bool | int | float):
        return f"'{value}'" if isinstance(value, str) else str(value)
    return "empty" if not value else f"a {'mapping' if isinstance(value, Mapping) else 'list'}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Filters by name."""
        return {"routing_problems": routing_problems}
