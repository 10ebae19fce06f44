# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module preflight_check: errors in inventory groups and routing data, before anything is written (pure).

It reports only values that are known to fail. Objects missing in a cluster are found by the API server and the proofs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from ..k8s.errors import Invalid
from ..k8s.fields import labels_of
from ..k8s.names import dns_label, dns_name, request_host
from ..k8s.names import port as port_number
from . import routes as http_routes

ARGUMENT_SPEC: dict[str, Any] = {
    "cluster": {"type": "str"},
    "groups": {"type": "dict"},
    "variables": {"type": "dict", "default": {}},
    "variable_names": {"type": "list", "elements": "str", "default": []},
    "required": {"type": "bool", "default": False},
    "destination_steps": {"type": "list", "elements": "str", "default": []},
    "route_steps": {"type": "list", "elements": "str", "default": []},
    "tags": {"type": "list", "elements": "str", "default": []},
}

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Context:
    """What entries refer to: ``offers``: ports by host of all valid VirtualDestinations, each with the one that offers
    it; ``routes``: all HTTPRoutes as objects."""

    offers: Mapping[str, Mapping[int, str]]
    routes: Sequence[dict[str, Any]]


DESTINATIONS, TABLES = "routing_virtual_destinations", "routing_route_tables"
ROUTES, PROOFS = "routing_http_routes", "routing_proofs"

HOSTNAME_GROUP = "networking.istio.io"
# One part of an equality selector; fields.parse_selector() reads no other.
LABEL_IS = re.compile(r"\s*[A-Za-z0-9][A-Za-z0-9._/-]*\s*==?\s*[A-Za-z0-9._-]+\s*")


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: msg. Raises Invalid with every problem, each with the path of its field."""
    steps = Steps(tuple(params["destination_steps"]), tuple(params["route_steps"]))
    found = [
        *group_problems(params["groups"]),
        *former_names(params["variable_names"]),
        *problems(params["variables"], required=params["required"], steps=steps, tags=params["tags"]),
    ]
    if found:
        prefix = f"{params['cluster']}: " if params.get("cluster") else ""
        raise Invalid("; ".join(f"{prefix}{each}" for each in found), problems=found)
    return {"changed": False, "msg": "no problem found"}


@dataclass(frozen=True)
class Steps:
    """Steps of a playbook: for destinations and requests inside the mesh, and for routes.

    An entry without a step belongs to the last of ``routes``. Both empty: any step is valid.
    """

    destinations: Sequence[str] = ()
    routes: Sequence[str] = ()

    def of(self, entry: Any) -> str:
        """The step that handles an entry."""
        return _step(entry) or next(reversed(self.routes), "")


def group_problems(groups: Mapping[str, Iterable[str]] | None) -> list[str]:
    """A sentence for every violation in the inventory's groups; none without groups."""
    if groups is None:
        return []
    management, workload, gateway = (list(groups.get(name) or ()) for name in ("management", "workload", "gateway"))
    result = []
    if len(management) != 1:
        listed = f"{len(management)} hosts ({', '.join(management)})" if management else "no host"
        result.append(f"inventory group management has {listed}. Put exactly one host in it")
    if not workload:
        result.append("inventory group workload is empty. Add at least one workload cluster")
    if not gateway:
        result.append("inventory group gateway is empty. Add at least one host of group workload")
    result += [
        f"{host}: is in inventory group gateway but not in workload. Add it to workload: a gateway requires Istio"
        for host in gateway
        if host not in workload
    ]
    return result + [
        f"{host}: is in inventory groups management and workload. Remove it from one of them"
        for host in workload
        if host in management
    ]


def former_names(names: Iterable[str]) -> list[str]:
    """A sentence for every variable of an earlier version of this collection."""
    result = []
    for name in names:
        step = re.fullmatch(r"(step[0-9]+)_(http_routes|proofs)", name)
        if step:
            result.append(f"{name} is no longer used. Move its entries to routing_{step[2]}, with step: {step[1]}")
        elif name in ("routing_mesh_proofs", "routing_gateway_proofs"):
            result.append(f"{name} is no longer used. Move its entries to {PROOFS}")
        elif name == "verify_timeout":
            result.append(f"{name} is no longer used. Set doctor_timeout, the time limit for each proof in seconds")
    return result


def problems(
    variables: Mapping[str, Any], *, required: bool = False, steps: Steps = Steps(), tags: Iterable[str] = ()
) -> list[str]:
    """A sentence for every invalid value, with its path in the variables.

    ``required``: every step must have routes and a proof. ``tags``: those of the run, which must select an entry.
    """
    result = [
        f"{name} is not routing data. Valid are {', '.join(_CHECKS)}" for name in variables if name not in _CHECKS
    ]
    context = Context(
        _offers(variables.get(DESTINATIONS)), [_as_object(each) for each in _mappings(variables.get(ROUTES))]
    )
    for name, check in _CHECKS.items():
        entries = variables.get(name, [])
        if not isinstance(entries, list):
            result.append(f"{name} is {_shown(entries)}. Set a list")
            continue
        for index, entry in enumerate(entries):
            result += check(f"{name}[{index}]", entry, context)
            result += _step_problems(f"{name}[{index}]", name, entry, steps)
    if required:
        result += _unproven(variables, steps)
    return result + _unselected(variables, steps, set(tags))


def _unproven(variables: Mapping[str, Any], steps: Steps) -> list[str]:
    """Lists that are empty, and routes without a proof of their step."""
    result = [
        f"{name} is empty. Add at least one entry"
        for name in (DESTINATIONS, ROUTES, PROOFS)
        if isinstance(variables.get(name, []), list) and not variables.get(name)
    ]
    routes, proofs = _mappings(variables.get(ROUTES)), _mappings(variables.get(PROOFS))
    if proofs and not any(map(_from_pod, proofs)):
        result.append(f"{PROOFS} has no entry with from_pod: routing inside the mesh is not tested. Add one")
    proven = {steps.of(each) for each in proofs if not _from_pod(each)}
    last = any(not _step(each) and not _from_pod(each) for each in proofs)  # sent when all routes exist
    for step in dict.fromkeys(map(steps.of, routes)):
        if proofs and not last and step not in proven:
            named = f"with step: {step}" if step else "without a step"
            result.append(
                f"{PROOFS} has no entry {named} that is sent through the gateway, so the HTTPRoutes {named} are not "
                "tested. Add one"
            )
    return result


def _step_problems(path: str, name: str, entry: Any, steps: Steps) -> list[str]:
    step = entry.get("step") if isinstance(entry, Mapping) else None
    if step is None:
        return []
    if not isinstance(step, str) or not step:
        return [f"{path}.step is {_shown(step)}. Set the name of a step, or leave it out"]
    allowed = [*(steps.destinations if name not in (ROUTES, PROOFS) or _from_pod(entry) else ()), *steps.routes]
    if allowed and step not in allowed:
        return [f"{path}.step is '{step}', which no play handles. Set {' or '.join(allowed)}"]
    return []


def _unselected(variables: Mapping[str, Any], steps: Steps, tags: set[str]) -> list[str]:
    """Problems of tags that select a step of routes but no entry."""
    selected = [step for step in steps.routes if step in tags]
    entries = [*_mappings(variables.get(ROUTES)), *_mappings(variables.get(PROOFS))]
    if not selected or not entries or any(steps.of(entry) in selected for entry in entries):
        return []
    given = ",".join(selected)
    return [
        f"--tags {given} selects no entry of {ROUTES} or {PROOFS}: none has step: {' or '.join(selected)}. Give them a "
        "step, or use --tags routing"
    ]


def _step(entry: Any) -> str:
    return str(entry.get("step") or "") if isinstance(entry, Mapping) else ""


def _from_pod(entry: Record) -> bool:
    return "from_pod" in entry


def _offers(destinations: Any) -> dict[str, dict[int, str]]:
    """Ports by host of all valid VirtualDestinations, each with the VirtualDestination that offers it."""
    result: dict[str, dict[int, str]] = {}
    for each in _mappings(destinations):
        spec = each.get("spec")
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
        yield f"{path} is {_shown(entry)}. Set name, namespace and spec"
        return
    if not dns_name(entry.get("name")):
        yield f"{path}.name is {_shown(entry.get('name'))}. Set a name of lower case letters, digits, dashes and dots"
    if not dns_label(entry.get("namespace")):
        yield f"{path}.namespace is {_shown(entry.get('namespace'))}. Set a namespace of lower case letters and digits"
    if not isinstance(entry.get("spec"), Mapping):
        yield f"{path}.spec is {_shown(entry.get('spec'))}. Set the object's spec"


def _route_table(path: str, entry: Any, _context: Context) -> Iterator[str]:
    yield from _object(path, entry)


def _virtual_destination(path: str, entry: Any, _context: Context) -> Iterator[str]:
    yield from _object(path, entry)
    spec, path = _spec(entry), f"{_title(path, 'VirtualDestination', entry)}.spec"
    if spec is None:
        return
    for field in ("hosts", "ports"):
        if not _list(spec.get(field)):
            yield f"{path}.{field} is {_shown(spec.get(field))}. Set a list of at least one entry"
    for place, host in enumerate(_list(spec.get("hosts"))):
        if not dns_name(host):
            yield f"{path}.hosts[{place}] is {_shown(host)}. Set a DNS name in lower case, without wildcard"
    for place, port in enumerate(_list(spec.get("ports"))):
        number = port.get("number") if isinstance(port, Mapping) else port
        if not isinstance(port, Mapping) or not _is_port(number):
            yield f"{path}.ports[{place}].number is {_shown(number)}. {_port_hint(number)}"


def _http_route(path: str, entry: Any, context: Context) -> Iterator[str]:
    yield from _object(path, entry)
    spec, path = _spec(entry), f"{_title(path, 'HTTPRoute', entry)}.spec"
    if spec is None:
        return
    if not _list(spec.get("parentRefs")) and not _is_delegated_to(_as_object(entry), context.routes):
        yield (
            f"{path}.parentRefs is {_shown(spec.get('parentRefs'))}. Set the Gateway that serves the route, or the "
            "HTTPRoute that delegates to it"
        )
    for place, ref in enumerate(_list(spec.get("parentRefs"))):
        yield from _parent(f"{path}.parentRefs[{place}]", ref)
    for place, host in enumerate(_list(spec.get("hostnames"))):
        if not isinstance(host, str) or not dns_name(host.removeprefix("*.")):
            yield f"{path}.hostnames[{place}] is {_shown(host)}. Set a DNS name in lower case, or *.name"
    if not spec.get("rules", True):
        yield f"{path}.rules is {_shown(spec['rules'])}. Set at least one rule"
    for place, rule in enumerate(_mappings(spec.get("rules"))):
        if not rule.get("backendRefs") and not rule.get("filters"):
            shown = _shown(rule.get("backendRefs"))
            yield f"{path}.rules[{place}].backendRefs is {shown}. Set at least one, or a filter that responds"
        for number, ref in enumerate(_list(rule.get("backendRefs"))):
            yield from _backend(f"{path}.rules[{place}].backendRefs[{number}]", ref, context.offers)


def _as_object(entry: Record) -> dict[str, Any]:
    return {"metadata": {key: entry.get(key) for key in ("name", "namespace", "labels")}, "spec": _spec(entry) or {}}


def _is_delegated_to(route: dict[str, Any], routes: Sequence[dict[str, Any]]) -> bool:
    """Whether another route leads to it: one of the data, or any that selects its label."""
    return http_routes.DELEGATION_LABEL in labels_of(route) or bool(http_routes.delegating(route, routes))


def _parent(path: str, ref: Any) -> Iterator[str]:
    if not isinstance(ref, Mapping) or not dns_name(ref.get("name")):
        yield f"{path}.name is {_shown(ref.get('name') if isinstance(ref, Mapping) else ref)}. Set a Gateway's name"
        return
    if "namespace" in ref and not dns_label(ref["namespace"]):
        yield f"{path}.namespace is {_shown(ref['namespace'])}. Set the Gateway's namespace"
    if "port" in ref and not _is_port(ref["port"]):
        yield f"{path}.port is {_shown(ref['port'])}. {_port_hint(ref['port'])}"


def _backend(path: str, ref: Any, offers: Mapping[str, Mapping[int, str]]) -> Iterator[str]:
    if not isinstance(ref, Mapping):
        yield f"{path} is {_shown(ref)}. Set name and port of a backend"
        return
    kind, group, name, port = ref.get("kind", "Service"), ref.get("group", ""), ref.get("name"), ref.get("port")
    if kind == "Hostname":
        if group != HOSTNAME_GROUP:
            yield f"{path}.group is {_shown(group)}. Set {HOSTNAME_GROUP}, the group of kind Hostname"
        if "namespace" in ref:
            yield f"{path}.namespace is {_shown(ref['namespace'])}. Remove it: a Hostname has no namespace"
    elif "namespace" in ref and not dns_label(ref["namespace"]):
        yield f"{path}.namespace is {_shown(ref['namespace'])}. Set the backend's namespace"
    if not dns_name(name) and not (kind == "HTTPRoute" and name == "*"):
        what = "a DNS name in lower case, as in spec.hosts of the VirtualDestination"
        yield f"{path}.name is {_shown(name)}. Set {what if kind == 'Hostname' else f'the name of a {kind}'}"
    # Backends of other kinds define their port themselves.
    if (port is not None or kind in ("Service", "Hostname")) and not _is_port(port):
        yield f"{path}.port is {_shown(port)}. {_port_hint(port)}"
    elif kind == "Hostname" and (ports := offers.get(str(name))) and port not in ports:
        owners = ", ".join(dict.fromkeys(ports.values()))
        right = " or ".join(str(number) for number in sorted(ports))
        yield f"{path}.port is {port}: VirtualDestination {owners} offers {name} on port {right}. Set that port"


# -- proofs -----------------------------------------------------------------------------------------------------------


def _proof(path: str, entry: Any, _context: Context) -> Iterator[str]:
    if not isinstance(entry, Mapping):
        yield f"{path} is {_shown(entry)}. Set name, path and answered_by"
        return
    if not isinstance(entry.get("name"), str) or not entry["name"]:
        yield f"{path}.name is {_shown(entry.get('name'))}. Set a name for the proof"
    if not isinstance(entry.get("path"), str) or not entry["path"].startswith("/"):
        yield f"{path}.path is {_shown(entry.get('path'))}. Set the path of a request, beginning with /"
    yield from _selection(f"{path}.answered_by", entry.get("answered_by"))
    host = entry.get("host")
    if host and not request_host(host):
        yield f"{path}.host is {_shown(host)}. Set a host name or an IP address, with or without port"
    chosen = entry.get("gateway", {})
    unknown = [key for key in chosen if key not in _GATEWAY_KEYS] if isinstance(chosen, Mapping) else []
    if not isinstance(chosen, Mapping) or unknown:
        yield f"{path}.gateway is {', '.join(unknown) or _shown(chosen)}. Set {', '.join(_GATEWAY_KEYS)}"
    if _from_pod(entry):
        source = entry["from_pod"]
        yield from _selection(f"{path}.from_pod", source)
        # An option of a role, not an API field: digits as text are accepted.
        if isinstance(source, Mapping) and source and not port_number(source.get("port")):
            yield f"{path}.from_pod.port is {_shown(source.get('port'))}. {_port_hint(source.get('port'))}"


_GATEWAY_KEYS = ("name", "namespace", "listener", "port", "scheme")


def _selection(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, Mapping) or not value:
        yield f"{path} is {_shown(value)}. Set namespace and label_selector"
        return
    if not dns_label(value.get("namespace")):
        yield f"{path}.namespace is {_shown(value.get('namespace'))}. Set the namespace of the Pods"
    selector = value.get("label_selector")
    if not isinstance(selector, str) or not all(LABEL_IS.fullmatch(part) for part in selector.split(",")):
        yield f"{path}.label_selector is {_shown(selector)}. Set labels such as app=reviews,version=v1"


_CHECKS: dict[str, Callable[[str, Any, Context], Iterator[str]]] = {
    DESTINATIONS: _virtual_destination,
    TABLES: _route_table,
    ROUTES: _http_route,
    PROOFS: _proof,
}


# -- small readers ----------------------------------------------------------------------------------------------------


def _title(path: str, kind: str, entry: Any) -> str:
    """The path with the object, for problems in its spec."""
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
    """A port as the API accepts it: a number, not text."""
    return isinstance(value, int) and port_number(value)


def _port_hint(value: Any) -> str:
    return "Set a number, not text" if isinstance(value, str) and port_number(value) else "Set 1 to 65535"


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if isinstance(value, str | bool | int | float):
        return f"'{value}'" if isinstance(value, str) else str(value)
    return "empty" if not value else f"a {'mapping' if isinstance(value, Mapping) else 'list'}"
