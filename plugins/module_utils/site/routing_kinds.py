# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of the objects that users define in variables: listeners, VirtualDestinations, routes, proofs (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..k8s.names import dns_name, request_host
from .named_kinds import (
    DNS_HOST,
    GATEWAY,
    HTTP_URL,
    LABEL_KEY,
    LABEL_VALUE,
    NAMESPACE,
    PORT,
    PORT_FIELD,
    SPEC,
    WILDCARD_HOST,
    label,
    matches,
    subdomain,
)
from .variable_kinds import (
    Anything,
    Fields,
    Kind,
    ListOf,
    MapOf,
    Number,
    Problem,
    Problems,
    Switch,
    Text,
    choice,
    problem,
    text_of,
)

LABELS = MapOf(key=LABEL_KEY, value=LABEL_VALUE, todo="Set labels by name")
CLUSTERS = ListOf(item=Text(), null=True, todo="Set a list of names of clusters")
STEP = Text(todo="Set the name of a step, or leave it out")


def doubled(path: str, entries: Sequence[Any], keys: tuple[str, ...]) -> Problems:
    """Entries that are the same object in the same cluster."""
    seen: list[tuple[int, list[str], Any]] = []
    for index, each in enumerate(entries):
        if not isinstance(each, Mapping) or not isinstance(each.get("name"), str):
            continue
        key, clusters = [str(each.get(part)) for part in keys], each.get("clusters")
        for first, other, where in seen:
            if key == other and _overlap(clusters, where):
                wrong = f"{path}[{first}] is the same object"
                yield problem(f"{path}[{index}].name", each["name"], wrong, "Use another name, or remove one of them")
                break
        seen.append((index, key, clusters))


def _overlap(some: Any, others: Any) -> bool:
    """Whether two lists of clusters have one in common; anything else stands for all clusters."""
    if isinstance(some, list) and isinstance(others, list):
        return any(each in others for each in some)
    return True


# -- Gateways ---------------------------------------------------------------------------------------------------------

_PROTOCOLS = ("HTTP", "HTTPS", "TCP", "TLS", "UDP")


def _is_protocol(text: str) -> bool:
    if text.upper() in _PROTOCOLS:
        return text in _PROTOCOLS
    return matches(r"[A-Za-z0-9]([-./A-Za-z0-9]*[A-Za-z0-9])?")(text)


def _doubled_listeners(path: str, listeners: Sequence[Any]) -> Problems:
    names: dict[str, int] = {}
    places: dict[tuple[str, ...], int] = {}
    for index, each in enumerate(listeners):
        if not isinstance(each, Mapping):
            continue
        if (first := names.setdefault(str(each.get("name")), index)) != index:
            wrong = f"{path}[{first}] has the same name"
            yield problem(f"{path}[{index}].name", each.get("name"), wrong, "Use another one")
        place = tuple(str(each.get(key) or "") for key in ("port", "protocol", "hostname"))
        if (first := places.setdefault(place, index)) != index:
            wrong = f"{path}[{first}] has the same port, protocol and hostname"
            yield problem(f"{path}[{index}].port", each.get("port"), wrong, "Change one, or remove the listener")


def listeners(**options: Any) -> ListOf:
    """Listeners of a Gateway."""
    return ListOf(
        item=Fields(
            fields={
                "name": subdomain(),
                "hostname": Text(rules=WILDCARD_HOST.rules, todo=WILDCARD_HOST.todo, empty=True),
                "port": PORT_FIELD,
                "protocol": text_of(
                    "not a protocol", f"Set {', '.join(_PROTOCOLS)} or one such as example.com/name", _is_protocol
                ),
                "tls": SPEC,
                "allowedRoutes": SPEC,
            },
            required=("name", "port", "protocol"),
            nulls=True,
            what="a listener",
            todo="Set name, port and protocol",
        ),
        empty=False,
        rule=_doubled_listeners,
        todo="Set a list of at least one listener",
        **options,
    )


CONTAINERS = ListOf(item=label(), empty=False, comma=True, todo="Set a list of the containers that the proxy must run")
GATEWAYS = ListOf(
    item=Fields(
        fields={
            "name": GATEWAY,
            "namespace": NAMESPACE,
            "listeners": listeners(),
            "class_name": subdomain(empty=True),
            "parameters_name": subdomain(),
            "parameters_spec": SPEC,
            "expected_containers": CONTAINERS,
        },
        required=("name",),
        what="a Gateway",
        todo="Set the name of a Gateway",
    ),
    empty=False,
    rule=lambda path, entries: doubled(path, entries, ("namespace", "name")),
    todo="Set a list of at least one Gateway, each with a name",
)

# -- VirtualDestinations and RouteTables ------------------------------------------------------------------------------


def owner(entry: Any) -> str:
    """Namespace and name of an entry that is an object; "" if one of them is not valid."""
    if not isinstance(entry, Mapping):
        return ""
    names = [entry.get("namespace"), entry.get("name")]
    return "/".join(map(str, names)) if all(map(dns_name, names)) else ""


def _objects(spec: Kind, *keys: str, **fields: Kind) -> ListOf:
    """Entries of name, namespace and spec. ``keys``: further fields that tell objects apart."""
    return ListOf(
        item=Fields(
            fields={"name": subdomain(), "namespace": NAMESPACE, "spec": spec, **fields},
            required=("name", "namespace", "spec"),
            what="an entry",
            todo="Set name, namespace and spec",
        ),
        owner=owner,
        rule=lambda path, entries: doubled(path, entries, ("namespace", "name", *keys)),
        todo="Set a list of entries with name, namespace and spec",
    )


_SELECTORS = ListOf(
    item=Fields(
        fields={"labels": LABELS, **dict.fromkeys(("name", "namespace", "cluster", "workspace"), Text(empty=True))},
        nulls=True,
        what="a selector",
        todo="Set labels, name, namespace, cluster or workspace",
    ),
    todo="Set a list of selectors",
)
_PORT_REF = Fields(fields={"number": PORT_FIELD, "name": Text()}, what="a port", nulls=True, todo="Set number or name")
VIRTUAL_DESTINATIONS = _objects(
    Fields(
        fields={
            "hosts": ListOf(item=DNS_HOST, empty=False, todo="Set a list of at least one DNS name"),
            "ports": ListOf(
                item=Fields(
                    fields={
                        "number": PORT_FIELD,
                        "protocol": choice("HTTP", "HTTPS", "GRPC", "HTTP2", "MONGO", "TCP", "TLS"),
                        "targetPort": _PORT_REF,
                    },
                    required=("number",),
                    nulls=True,
                    what="a port",
                    todo="Set number and protocol",
                ),
                empty=False,
                todo="Set a list of at least one port",
            ),
            "services": _SELECTORS,
            "externalServices": _SELECTORS,
            "externalWorkloads": _SELECTORS,
            "clientMode": SPEC,
        },
        required=("hosts", "ports"),
        nulls=True,
        what="a VirtualDestination",
        todo="Set the spec of the object",
    )
)

_OBJECT_REF = Fields(
    fields=dict.fromkeys(("name", "namespace", "cluster"), Text(empty=True)),
    nulls=True,
    others=True,
    what="a reference",
    todo="Set the name of an object",
)
_ACTIONS = ("forwardTo", "redirectTo", "directResponse", "delegate", "graphql")


def _weights(path: str, destinations: Sequence[Any]) -> Problems:
    weights = [each["weight"] for each in destinations if isinstance(each, Mapping) and each.get("weight") is not None]
    are_numbers = all(isinstance(each, int) and not isinstance(each, bool) for each in weights)
    if len(destinations) > 1 and weights and are_numbers and sum(weights) != 100:
        wrong = "the weights of several destinations must sum to 100"
        yield problem(f"{path}[0].weight", weights[0], f"{wrong}, not {sum(weights)}", "Correct the weights")


def _has_routes(path: str, spec: Mapping[str, Any]) -> Problems:
    if not any(spec.get(key) for key in ("http", "tcp", "tls")):
        state = "empty" if "http" in spec else "missing"
        yield Problem(f"{path}.http", state, "a RouteTable needs http, tcp or tls", "Set a list of routes")


def _one_action(path: str, route: Mapping[str, Any]) -> Problems:
    given = [key for key in _ACTIONS if route.get(key)]
    if len(given) > 1:
        wrong = f"the route also has {given[0]}, and only one action is allowed"
        yield problem(f"{path}.{given[1]}", route[given[1]], wrong, "Remove one of them")


_DESTINATIONS = ListOf(
    item=Fields(
        fields={
            "kind": choice("SERVICE", "VIRTUAL_DESTINATION", "EXTERNAL_SERVICE"),
            "ref": _OBJECT_REF,
            "port": _PORT_REF,
            "weight": Number(most=100, digits=False),
        },
        nulls=True,
        others=True,
        what="a destination",
        todo="Set ref, kind and port",
    ),
    rule=_weights,
    todo="Set a list of destinations",
)
_TABLE_ROUTE = Fields(
    fields={
        "name": Text(empty=True),
        "labels": LABELS,
        "matchers": ListOf(item=SPEC, todo="Set a list of matchers, such as uri with prefix"),
        **dict.fromkeys(_ACTIONS, SPEC),
        "forwardTo": Fields(
            fields={"destinations": _DESTINATIONS}, nulls=True, others=True, what="forwardTo", todo="Set destinations"
        ),
    },
    nulls=True,
    what="a route of a RouteTable",
    rule=_one_action,
    todo="Set matchers and forwardTo",
)
ROUTE_TABLES = _objects(
    Fields(
        fields={
            "hosts": ListOf(item=Text(todo="Set a host"), todo="Set a list of hosts"),
            "virtualGateways": ListOf(item=_OBJECT_REF, todo="Set a list of references"),
            "workloadSelectors": ListOf(item=SPEC, todo="Set a list of selectors"),
            "applyToDestinations": ListOf(item=SPEC, todo="Set a list of selectors"),
            "defaultDestination": SPEC,
            "portalMetadata": SPEC,
            "weight": Number(least=-(2**31), digits=False),
            "http": ListOf(item=_TABLE_ROUTE, todo="Set a list of routes"),
            "tcp": ListOf(item=SPEC, todo="Set a list of routes"),
            "tls": ListOf(item=SPEC, todo="Set a list of routes"),
        },
        nulls=True,
        what="a RouteTable",
        todo="Set the spec of the object",
        rule=_has_routes,
    )
)

# -- HTTPRoutes -------------------------------------------------------------------------------------------------------

HOSTNAME_GROUP = "networking.istio.io"


def _backend(path: str, ref: Mapping[str, Any]) -> Problems:
    """Rules of a backend that depend on its kind."""
    kind, backend = ref.get("kind", "Service"), ref.get("name")
    if kind == "Hostname":
        if ref.get("group") != HOSTNAME_GROUP:
            yield problem(f"{path}.group", ref.get("group", ""), "not the group of Hostname", f"Set {HOSTNAME_GROUP}")
        if "namespace" in ref:
            yield problem(f"{path}.namespace", ref["namespace"], "a Hostname has no namespace", "Remove it")
    if backend is not None and not dns_name(backend) and not (kind == "HTTPRoute" and backend == "*"):
        what = "a DNS name in lower case, as in spec.hosts of the VirtualDestination"
        todo = f"Set {what if kind == 'Hostname' else 'the name of the backend'}"
        yield problem(f"{path}.name", backend, "not a valid name", todo)
    # Backends of other kinds define their port themselves.
    if ref.get("port") is None and kind in ("Service", "Hostname"):
        yield Problem(f"{path}.port", "missing", f"a {kind} needs it", "Set a number from 1 to 65535")


def _responds(path: str, rule: Mapping[str, Any]) -> Problems:
    if not rule.get("backendRefs") and not rule.get("filters"):
        todo = "Set at least one, or a filter that responds"
        state = "empty" if "backendRefs" in rule else "missing"
        yield Problem(f"{path}.backendRefs", state, "nothing would respond", todo)


_ROUTE_RULE = Fields(
    fields={
        "matches": ListOf(item=SPEC, todo="Set a list of matches"),
        "filters": ListOf(item=SPEC, todo="Set a list of filters"),
        "backendRefs": ListOf(
            item=Fields(
                fields={"name": Anything(todo="Set the name of a backend"), "namespace": NAMESPACE, "port": PORT_FIELD},
                required=("name",),
                nulls=True,
                others=True,
                what="a backend",
                todo="Set name and port of a backend",
                rule=_backend,
            ),
            todo="Set a list of backends",
        ),
    },
    nulls=True,
    others=True,
    what="a rule",
    todo="Set matches and backendRefs",
    rule=_responds,
)
HTTP_ROUTES = _objects(
    Fields(
        fields={
            "parentRefs": ListOf(
                item=Fields(
                    fields={
                        "name": subdomain(),
                        "namespace": NAMESPACE,
                        "port": PORT_FIELD,
                    },
                    required=("name",),
                    others=True,
                    what="a parent",
                    todo="Set the name of a Gateway",
                ),
                todo="Set a list of Gateways",
            ),
            "hostnames": ListOf(item=WILDCARD_HOST, todo="Set a list of DNS names"),
            "rules": ListOf(item=_ROUTE_RULE, empty=False, todo="Set at least one rule"),
        },
        nulls=True,
        others=True,
        what="an HTTPRoute",
        todo="Set the spec of the object",
    ),
    "step",
    labels=MapOf(key=LABEL_KEY, value=LABEL_VALUE, null=True, todo=LABELS.todo),
    step=STEP,
    clusters=CLUSTERS,
)

# -- proofs -----------------------------------------------------------------------------------------------------------

# One part of an equality selector; fields.parse_selector() reads no other.
_LABEL_IS = matches(r"\s*[A-Za-z0-9][A-Za-z0-9._/-]*\s*==?\s*[A-Za-z0-9._-]+\s*")


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _pods(what: str, **more: Kind) -> Fields:
    selector = text_of(
        "not a selector of labels",
        "Set labels such as app=reviews,version=v1",
        lambda text: all(map(_LABEL_IS, text.split(","))),
    )
    return Fields(
        fields={"namespace": NAMESPACE, "label_selector": selector, **more},
        required=("namespace", "label_selector", *more),
        what=what,
        todo=f"Set namespace{', ' if more else ' and '}label_selector{' and port' if more else ''}",
    )


_PROOF: dict[str, Kind] = {
    "name": Text(todo="Set a name for the proof"),
    "step": STEP,
    "clusters": CLUSTERS,
    "path": text_of("not a path", "Set the path of a request, beginning with /", lambda text: text.startswith("/")),
    "host": text_of(
        "not a host", "Set a host name or an IP address, with or without port", request_host, empty=True, null=True
    ),
    "gateway": Fields(
        fields={
            "name": subdomain(),
            "namespace": NAMESPACE,
            "listener": subdomain(),
            "port": PORT,
            "scheme": choice("http", "https"),
        },
        what="the gateway of a proof",
        todo="Set name, namespace, listener, port or scheme",
    ),
    "url": HTTP_URL,
    "validate_certs": Switch(),
    "ca_cert": Text(empty=True, null=True, todo="Set the path of a file"),
    "pattern": text_of("not a regular expression", "Correct it", _compiles, empty=True, null=True),
    "headers": MapOf(
        value=Text(numbers=True, empty=True, secret=True, todo="Set the text of the header"),
        null=True,
        todo="Set a dictionary of headers",
    ),
    # An option of a role, not an API field: digits as text are as good.
    "from_pod": _pods("from_pod", port=PORT),
    "answered_by": _pods("answered_by"),
}


def proof(required: tuple[str, ...], **options: Any) -> Fields:
    """A request with the Pods that have to respond."""
    *first, last = required
    return Fields(
        fields=_PROOF, required=required, what="a proof", todo=f"Set {', '.join(first)} and {last}", **options
    )


PROOFS = ListOf(item=proof(("name", "path", "answered_by")), todo="Set a list of proofs")
