# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTPRoutes: the Gateways they are attached to, routes that they delegate to, requests that they match (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..k8s.fields import Json, Key, key_of, labels_of, listed, mapping, mappings, meta, spec_of, texts
from ..k8s.names import ascii_host, split_host_port

GROUP = "gateway.networking.k8s.io"
DELEGATION_GROUP, DELEGATION_LABEL = "delegation.kgateway.dev", "delegation.kgateway.dev/label"
INHERIT = "delegation.kgateway.dev/inherit-parent-matcher"
#: namespace in a reference by label that stands for all namespaces
EVERYWHERE = "all"


@dataclass(frozen=True)
class Parent:
    """A Gateway in parentRefs; section and port None: all of its listeners."""

    namespace: str
    name: str
    section: str | None = None
    port: int | None = None

    @property
    def key(self) -> Key:
        return self.namespace, self.name

    def includes(self, listener: Json) -> bool:
        return self.section in (None, listener.get("name")) and self.port in (None, listener.get("port"))


def parents(route: Json) -> list[Parent]:
    """The Gateways of a route's parentRefs."""
    return [
        Parent(
            str(ref.get("namespace") or key_of(route)[0]), str(ref.get("name")), ref.get("sectionName"), ref.get("port")
        )
        for ref in mappings(spec_of(route).get("parentRefs"))
        if ref.get("kind", "Gateway") == "Gateway" and ref.get("group", GROUP) == GROUP
    ]


def backend_refs(route: Json) -> list[Json]:
    """Its backendRefs, without those that delegate to other routes."""
    return [ref for rule in _rules(route) for ref in mappings(rule.get("backendRefs")) if not _delegates(ref)]


def attached(routes: Iterable[Json], gateway: Key) -> list[Json]:
    """Routes of the Gateway, with those that they delegate to."""
    every = list(routes)
    return delegated([route for route in every if gateway in [parent.key for parent in parents(route)]], every)


def delegated(some: Iterable[Json], routes: Sequence[Json]) -> list[Json]:
    """Routes with all those that they delegate to."""
    found = list(some)
    for route in found:  # grows meanwhile
        found += [child for child in _children(route, routes) if child not in found]
    return found


def delegating(route: Json, routes: Iterable[Json]) -> list[Json]:
    """Routes that delegate to this one."""
    return [each for each in routes if each is not route and route in _children(each, [route])]


def matches(
    route: Json,
    path: str,
    host: str = "",
    headers: Mapping[str, str] | None = None,
    routes: Sequence[Json] = (),
    seen: Sequence[Json] = (),
) -> bool:
    """Whether the route matches a GET of the path; its query is ignored. routes: those it may delegate to."""
    names = listed(spec_of(route).get("hostnames"))
    name = ascii_host(split_host_port(host)[0])
    if names and not any(host_fits(str(each), name) for each in names):
        return False
    given = {key.lower(): value for key, value in (headers or {}).items()}
    for rule in _rules(route) or [{}]:
        if not any(_fits(match, path.partition("?")[0], given) for match in mappings(rule.get("matches")) or [{}]):
            continue
        refs = [ref for ref in mappings(rule.get("backendRefs")) if _delegates(ref)]
        if not refs:
            return True
        children = [child for child in _targets(route, refs, routes) if child is not route and child not in seen]
        if any(_inherits(child) or matches(child, path, host, headers, routes, [*seen, route]) for child in children):
            return True
    return False


def host_fits(pattern: str, host: str) -> bool:
    """Whether a hostname of a listener or route, perhaps ``*.example.com``, includes the host."""
    pattern = pattern.lower()
    return host.endswith(pattern[1:]) and host != pattern[2:] if pattern.startswith("*.") else host == pattern


def _rules(route: Json) -> list[Json]:
    return mappings(spec_of(route).get("rules"))


def _inherits(route: Json) -> bool:
    """Whether its paths are relative to those of the delegating route."""
    return texts(meta(route).get("annotations")).get(INHERIT, "").lower() in ("true", "yes", "enabled")


def _delegates(ref: Json) -> bool:
    return (ref.get("group"), ref.get("kind")) in ((GROUP, "HTTPRoute"), (DELEGATION_GROUP, "label"))


def _children(route: Json, routes: Iterable[Json]) -> list[Json]:
    refs = [ref for rule in _rules(route) for ref in mappings(rule.get("backendRefs")) if _delegates(ref)]
    return _targets(route, refs, routes)


def _targets(route: Json, refs: Sequence[Json], routes: Iterable[Json]) -> list[Json]:
    if not refs:
        return []
    home = key_of(route)[0]
    return [child for child in routes if any(_names(ref, home, child) for ref in refs) and _allows(child, route)]


def _allows(child: Json, parent: Json) -> bool:
    """Whether a route may be delegated to by another: it has no parentRefs, or one to that route."""
    refs = mappings(spec_of(child).get("parentRefs"))
    return not refs or any(
        (ref.get("group"), ref.get("kind")) == (GROUP, "HTTPRoute")
        and (str(ref.get("namespace") or key_of(child)[0]), ref.get("name")) == key_of(parent)
        for ref in refs
    )


def _names(ref: Json, home: str, child: Json) -> bool:
    """Whether a delegating backendRef selects the route."""
    namespace, name = key_of(child)
    where, wanted = str(ref.get("namespace") or home), str(ref.get("name"))
    if ref.get("kind") == "HTTPRoute":
        return where == namespace and wanted in ("*", name)
    return where in (EVERYWHERE, namespace) and labels_of(child).get(DELEGATION_LABEL) == wanted


def _fits(match: Json, path: str, headers: Mapping[str, str]) -> bool:
    wanted = mapping(match.get("path"))
    kind, value = wanted.get("type", "PathPrefix"), str(wanted.get("value", "/"))
    if kind == "Exact":
        fits = path == value
    elif kind == "RegularExpression":
        fits = _expression_matches(value, path)
    else:
        prefix = value.rstrip("/")
        fits = path == prefix or path.startswith(f"{prefix}/")
    return (
        fits
        and match.get("method", "GET") == "GET"
        and all(
            headers.get(str(h.get("name")).lower()) == h.get("value")
            for h in mappings(match.get("headers"))
            if h.get("type", "Exact") == "Exact"
        )
    )


def _expression_matches(expression: str, path: str) -> bool:
    """Whether the expression matches; True if Python cannot compile it, as it may be valid in Envoy."""
    try:
        return re.fullmatch(expression, path) is not None
    except re.error:
        return True
