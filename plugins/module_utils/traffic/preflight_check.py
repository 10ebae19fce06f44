# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module preflight_check: inventory groups and variables that cannot work, before anything is written.

Values are checked by the table of site/variables.py, entries of the routing data also with each other (pure). Objects
missing in a cluster are found by the API server and the proofs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from ..k8s.errors import Invalid
from ..k8s.fields import labels_of
from ..k8s.names import port as port_number
from ..k8s.printable import one_line
from ..site.routing_kinds import owner
from ..site.variable_kinds import Problem, Problems, Surroundings, problem
from ..site.variables import VARIABLES, problems_of
from . import routes as http_routes

ARGUMENT_SPEC: dict[str, Any] = {
    "cluster": {"type": "str"},
    "groups": {"type": "dict"},
    "variables_of": {"type": "list", "elements": "str", "choices": sorted(VARIABLES), "default": []},
    "pending": {"type": "list", "elements": "str", "default": []},
    "collect": {"type": "bool", "default": False},
    "found": {"type": "dict", "default": {}},
    "names": {"type": "dict", "default": {}},
    "required": {"type": "bool", "default": False},
    "destination_steps": {"type": "list", "elements": "str", "default": []},
    "route_steps": {"type": "list", "elements": "str", "default": []},
    "tags": {"type": "list", "elements": "str", "default": []},
}

Record = Mapping[str, Any]

DESTINATIONS, ROUTES, PROOFS = "routing_virtual_destinations", "routing_http_routes", "routing_proofs"
_LONGEST_PROBLEM = 260
#: of a message; Ansible prints it twice
_LONGEST_MESSAGE = 330
_LONGEST_NAMES = 90


@dataclass(frozen=True)
class Given:
    """The variables of a host. ``unset``: why variables have no value; ``pending``: those without a value yet;
    ``names``: of all variables that are set."""

    values: Mapping[str, Any] = field(default_factory=dict)
    unset: Mapping[str, str] = field(default_factory=dict)
    pending: frozenset[str] = frozenset()
    names: Iterable[str] = ()
    around: Surroundings = field(default_factory=Surroundings)


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


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: msg, problems; with ``collect`` also name and warnings. Raises Invalid with the problems without it.

    ``params["given"]``: the variables, from the action plugin.
    """
    given: Given = params.get("given") or Given()
    steps = Steps(tuple(params["destination_steps"]), tuple(params["route_steps"]))
    sections = params["variables_of"]
    found = [
        *group_problems(params["groups"]),
        *former_names(given.names, sections),
        *problems(sections, given, required=params["required"], steps=steps, tags=params["tags"]),
    ]
    if params["collect"]:
        msg = f"{len(found)} problem{'' if len(found) == 1 else 's'} found"
        name = given.values.get("mesh_cluster_name", "")
        return {"changed": False, "msg": msg, "problems": found, "name": name, "warnings": misspelled(given.names)}
    hosts = {str(host): list(texts or ()) for host, texts in params["found"].items()}
    for host, text in same_names(params["names"]):
        hosts.setdefault(host, []).append(text)
    if found:
        hosts.setdefault(params.get("cluster") or "", []).extend(found)
    told = merged(hosts)
    if told:
        raise Invalid(message(told))
    return {"changed": False, "msg": "no problem found", "problems": []}


# -- messages ---------------------------------------------------------------------------------------------------------


def merged(hosts: Mapping[str, Iterable[str]]) -> list[str]:
    """The problems of several hosts, each once, with the hosts that have it."""
    by_problem: dict[str, list[str]] = {}
    for host, problems in hosts.items():
        for each in dict.fromkeys(problems):
            by_problem.setdefault(each, []).append(host)
    return [_with_hosts(list(filter(None, names)), each) for each, names in by_problem.items()]


def _with_hosts(names: Sequence[str], text: str) -> str:
    if not names:
        return text
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return f"{', '.join(names[:3] if more else names)}{more}: {text}"


def message(problems: Sequence[str]) -> str:
    """The problems on one line of limited length: as many as fit, at least one, and the variables of the others."""
    texts = [_shortened(one_line(each), _LONGEST_PROBLEM) for each in problems]
    told = texts[:1]
    for each in texts[1:]:
        if len("; ".join([*told, each])) > _LONGEST_MESSAGE:
            break
        told.append(each)
    left = texts[len(told) :]
    if left:
        names = ", ".join(dict.fromkeys(_variable(each) for each in left))
        many = "problems" if len(left) > 1 else "problem"
        told.append(f"and {len(left)} more {many}, of {_shortened(names, _LONGEST_NAMES)}")
    return "; ".join(told)


def _variable(text: str) -> str:
    """The variable of a problem, or what it begins with."""
    found = re.search(r"(?:^|: )([a-z]+_\w+)", text)
    return found[1] if found else text.split(" ", 1)[0]


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


# -- groups and names -------------------------------------------------------------------------------------------------


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


def former_names(names: Iterable[str], sections: Sequence[str]) -> list[str]:
    """A sentence for every variable of an earlier version of this collection, in the sections that it belonged to."""
    result = []
    for name in sorted(names):
        step = re.fullmatch(r"(step[0-9]+)_(http_routes|proofs)", name)
        if step and "playbooks" in sections:
            result.append(f"{name} is no longer used. Move its entries to routing_{step[2]}, with step: {step[1]}")
        elif name in ("routing_mesh_proofs", "routing_gateway_proofs") and {"routing", "playbooks"} & set(sections):
            result.append(f"{name} is no longer used. Move its entries to {PROOFS}")
        elif name == "verify_timeout" and "playbooks" in sections:
            result.append(f"{name} is no longer used. Set doctor_timeout, the time limit for each proof in seconds")
    return result


def misspelled(names: Iterable[str]) -> list[str]:
    """A sentence for every variable whose name is nearly that of one of the collection."""
    ours = {name for section, table in VARIABLES.items() if section != "hosts" for name in table}
    unknown = sorted(name for name in names if name not in ours and name not in VARIABLES["hosts"])
    near = {name: difflib.get_close_matches(name.lower()[:100], sorted(ours), 1, 0.9) for name in unknown}
    return [
        f"{name} is not a variable of this collection. Did you mean {found[0]}?"
        for name, found in near.items()
        if found
    ]


def same_names(names: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(host, problem) of every host that has the same name of a cluster as another one."""
    hosts: dict[str, list[str]] = {}
    for host, name in names.items():
        hosts.setdefault(str(name or ""), []).append(host)
    for name, those in hosts.items():
        if name and len(those) > 1:
            found = problem(
                "mesh_cluster_name", name, "each cluster needs its own name", "Set it per host, or remove it"
            )
            yield from ((host, str(found)) for host in those)


# -- variables --------------------------------------------------------------------------------------------------------


def problems(
    sections: Sequence[str],
    given: Given,
    *,
    required: bool = False,
    steps: Steps = Steps(),
    tags: Iterable[str] = (),
) -> list[str]:
    """A sentence for every problem, with its path in the variables.

    ``required``: every step must have routes and a proof. ``tags``: those of the run, which must select an entry.
    """
    found: list[Problem | str] = list(problems_of(sections, given.values, given.unset, given.around))
    if "routing" in sections and not given.pending & set(VARIABLES["routing"]):
        found += _routing(given.values, required, steps, set(tags))
    return [one_line(str(each)) for each in found]


def _routing(values: Record, required: bool, steps: Steps, tags: set[str]) -> Iterator[Problem | str]:
    """Problems of entries with each other."""
    lists = {name: _mappings(values.get(name)) for name in (DESTINATIONS, ROUTES, PROOFS)}
    for name in (ROUTES, PROOFS):
        for index, entry in enumerate(_list(values.get(name))):
            yield from _step_problems(f"{name}[{index}]", name, entry, steps)
    yield from _routes_problems(_offers(lists[DESTINATIONS]), _list(values.get(ROUTES)))
    if required:
        yield from _unproven(values, lists, steps)
    yield from _unselected(lists, steps, tags)


def _unproven(values: Record, lists: Mapping[str, Sequence[Record]], steps: Steps) -> Problems:
    """Lists that are empty, and routes without a proof of their step."""
    for name in lists:
        if values.get(name, []) == []:
            yield Problem(name, "empty", "the steps need an entry", "Add at least one entry")
    proofs = lists[PROOFS]
    if not proofs:
        return
    if not any(map(_from_pod, proofs)):
        yield Problem(PROOFS, "without an entry with from_pod", "routing inside the mesh is not tested", "Add one")
    proven = {steps.of(each) for each in proofs if not _from_pod(each)}
    last = any(not _step(each) and not _from_pod(each) for each in proofs)  # sent when all routes exist
    for step in dict.fromkeys(map(steps.of, lists[ROUTES])):
        if not last and step not in proven:
            named = f"with step: {step}" if step else "without a step"
            state = f"without an entry {named} that is sent through the gateway"
            yield Problem(PROOFS, state, f"the HTTPRoutes {named} are not tested", "Add one")


def _step_problems(path: str, name: str, entry: Any, steps: Steps) -> Problems:
    """A step that no play of the playbook handles."""
    step = _step(entry)
    allowed = [*(steps.destinations if name == PROOFS and _from_pod(entry) else ()), *steps.routes]
    if step and allowed and step not in allowed:
        yield problem(f"{path}.step", step, "no play handles it", f"Set {' or '.join(allowed)}")


def _unselected(lists: Mapping[str, Sequence[Record]], steps: Steps, tags: set[str]) -> Iterator[str]:
    """Problems of tags that select a step of routes but no entry."""
    selected = [step for step in steps.routes if step in tags]
    entries = [*lists[ROUTES], *lists[PROOFS]]
    if not selected or not entries or any(steps.of(entry) in selected for entry in entries):
        return
    yield (
        f"--tags {','.join(selected)} selects no entry of {ROUTES} or {PROOFS}: none has step: "
        f"{' or '.join(selected)}. Give them a step, or use --tags routing"
    )


def _offers(destinations: Iterable[Record]) -> dict[str, dict[int, str]]:
    """Ports by host of all VirtualDestinations, each with the VirtualDestination that offers it."""
    result: dict[str, dict[int, str]] = {}
    for each in destinations:
        spec = _spec(each) or {}
        numbers = [port.get("number") for port in _mappings(spec.get("ports"))]
        for host in _list(spec.get("hosts")):
            offered = result.setdefault(str(host), {})
            offered.update({number: owner(each) for number in numbers if _is_port(number)})
    return result


def _routes_problems(offers: Mapping[str, Mapping[int, str]], routes: Sequence[Any]) -> Problems:
    """Routes to which nothing leads, and ports that no VirtualDestination offers."""
    objects = [_as_object(each) for each in _mappings(routes)]
    for index, entry in enumerate(routes):
        spec, path = _spec(entry), f"{ROUTES}[{index}].spec"
        if spec is None:
            continue
        if not spec.get("parentRefs") and not _is_delegated_to(_as_object(entry), objects):
            todo = "Set the Gateway that serves the route, or the HTTPRoute that delegates to it"
            state = "empty" if "parentRefs" in spec else "missing"
            yield Problem(f"{path}.parentRefs", state, "nothing leads to the route", todo, owner(entry))
        for place, rule in enumerate(_mappings(spec.get("rules"))):
            for number, ref in enumerate(_mappings(rule.get("backendRefs"))):
                for found in _offered(f"{path}.rules[{place}].backendRefs[{number}].port", ref, offers):
                    yield found._replace(owner=owner(entry))


def _offered(path: str, ref: Record, offers: Mapping[str, Mapping[int, str]]) -> Problems:
    name, port = str(ref.get("name")), ref.get("port")
    ports = offers.get(name) if ref.get("kind") == "Hostname" and _is_port(port) else None
    if ports and port not in ports:
        owners = ", ".join(dict.fromkeys(ports.values()))
        right = " or ".join(str(number) for number in sorted(ports))
        yield problem(path, port, f"VirtualDestination {owners} offers {name} on port {right}", "Set that port")


def _as_object(entry: Record) -> dict[str, Any]:
    return {"metadata": {key: entry.get(key) for key in ("name", "namespace", "labels")}, "spec": _spec(entry) or {}}


def _is_delegated_to(route: dict[str, Any], routes: Sequence[dict[str, Any]]) -> bool:
    """Whether another route leads to it: one of the data, or any that selects its label."""
    return http_routes.DELEGATION_LABEL in labels_of(route) or bool(http_routes.delegating(route, routes))


# -- small readers ----------------------------------------------------------------------------------------------------


def _step(entry: Any) -> str:
    step = entry.get("step") if isinstance(entry, Mapping) else None
    return step if isinstance(step, str) else ""


def _from_pod(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "from_pod" in entry


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
