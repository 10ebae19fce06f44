"""Listeners on loopback."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from lab.pods.listeners import Http, Listeners, Tcp
from lab.traffic.data_plane import outside_services


async def refuse(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(status=404)


def test_only_loopback_addresses_are_served(made: Any) -> None:
    service = made.obj("Service", "s", spec={"type": "LoadBalancer", "ports": [{"port": 80}]})
    for ingress in ([{"ip": "10.0.0.1"}], [{"hostname": "x.example"}], []):
        service["status"] = {"loadBalancer": {"ingress": ingress}}
        assert list(outside_services(made.Cluster("c", service))) == []
    listeners = Listeners()
    try:
        assert listeners.update({"outside": Http("0.0.0.0", 0, refuse)}) == {}
        taken = listeners.update({"a": Tcp("127.0.0.1", 0, lambda: None)})["a"]
        both = listeners.update({"a": Tcp("127.0.0.1", 0, lambda: None), "b": Tcp("127.0.0.1", taken, lambda: None)})
        assert both == {"a": taken}  # an address in use is left out, the others work
    finally:
        listeners.stop()
