# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a request through a Gateway is sent: its address, one of its listeners, and the host (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..k8s.fields import Json, key_of, mapping, mappings, spec_of, title_of
from ..k8s.names import ascii_host, split_host_port, url_host
from . import routes as http_routes

#: Option that names a Gateway, and one of its listeners if host and routes do not determine it
GATEWAY_SPEC: dict[str, Any] = {
    "type": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str"},
        "listener": {"type": "str"},
        "port": {"type": "int"},
        "scheme": {"type": "str", "choices": ["http", "https"]},
    },
}


class NoTarget(ValueError):
    """No request can be sent through the Gateway. The text has the reason and what to do."""


@dataclass(frozen=True)
class Target:
    """``url``: scheme, address and port; ``host``: of the request, "" for the address; ``others``: more addresses."""

    url: str
    host: str = ""
    others: tuple[str, ...] = ()


def target(gateway: Json, addresses: Sequence[str], routes: Sequence[Json], proof: Mapping[str, Any]) -> Target:
    """The target of a proof ``{path, host, headers, gateway: {listener, port, scheme}}``.

    routes: the HTTPRoutes of the cluster; listeners to which a matching one is attached are preferred. Raises NoTarget.
    """
    if not addresses:
        raise NoTarget(f"{title_of(gateway)} has no address. Check its Service, or set url in the proof")
    listener = _listener(gateway, routes, proof)
    host, hostname = str(proof.get("host") or ""), str(listener.get("hostname") or "")
    if not host and hostname.startswith("*"):
        raise NoTarget(
            f"{title_of(gateway)}: listener {listener.get('name')} has hostname {hostname}. Set host in the proof"
        )
    url = f"{_scheme(listener)}://{url_host(addresses[0])}:{listener['port']}"
    return Target(url, host or hostname, tuple(addresses[1:]))


def _scheme(listener: Json) -> str:
    return str(listener.get("protocol")).lower()


def _listener(gateway: Json, routes: Sequence[Json], proof: Mapping[str, Any]) -> Json:
    """The first HTTP listener, else HTTPS, of those that fit the proof best."""
    every = [
        x for x in mappings(spec_of(gateway).get("listeners")) if _scheme(x) in ("http", "https") and x.get("port")
    ]
    wish = {key: value for key, value in mapping(proof.get("gateway")).items() if value and key in _WISHES}
    found = [x for x in every if all(_WISHES[key](x) == value for key, value in wish.items())]
    if not found:
        asked = ", ".join(f"{key} {value}" for key, value in wish.items())
        have = ", ".join(f"{x.get('name')} ({x.get('protocol')} {x.get('port')})" for x in every) or "none"
        text = f"no listener with {asked}" if wish else "no listener for HTTP or HTTPS"
        raise NoTarget(f"{title_of(gateway)} has {text}: it has {have}. Correct the proof or the Gateway")
    host = ascii_host(split_host_port(str(proof.get("host") or ""))[0])
    fitting = [x for x in found if _hostname_fits(x, host)]
    if not fitting and host:
        names = ", ".join(f"{x.get('name')} ({x.get('hostname')})" for x in found)
        raise NoTarget(f"{title_of(gateway)} has no listener for host {host}: {names}. Correct host in the proof")
    found = fitting or found
    matching = [x for x in found if _is_routed(gateway, x, routes, proof)]
    return sorted(
        matching or found, key=lambda x: (_scheme(x) == "https", str(x.get("hostname") or "").startswith("*"))
    )[0]


_WISHES: Mapping[str, Any] = {
    "listener": lambda listener: listener.get("name"),
    "port": lambda listener: listener.get("port"),
    "scheme": _scheme,
}


def _hostname_fits(listener: Json, host: str) -> bool:
    """Whether the listener serves the host; without a host, one that is not limited to hosts by a wildcard."""
    hostname = str(listener.get("hostname") or "")
    if not host:
        return not hostname.startswith("*")
    return not hostname or http_routes.host_fits(hostname, host)


def _is_routed(gateway: Json, listener: Json, routes: Sequence[Json], proof: Mapping[str, Any]) -> bool:
    """Whether a route that matches the proof is attached to the listener."""
    host = str(proof.get("host") or listener.get("hostname") or "")
    return any(
        http_routes.matches(route, str(proof.get("path") or "/"), host, proof.get("headers"), routes)
        for route in routes
        for parent in http_routes.parents(route)
        if parent.key == key_of(gateway) and parent.includes(listener)
    )
