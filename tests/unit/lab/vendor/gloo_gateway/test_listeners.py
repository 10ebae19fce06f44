"""Which listeners of a Gateway are valid, and what their conditions and the Gateway's are."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.listeners import conditions_of, supported_kinds, valid

BAD = ("False", "ListenersNotValid", "No valid listeners")
SECRET = {"type": "kubernetes.io/tls", "data": {"tls.crt": "Y2VydA==", "tls.key": "a2V5"}}


def listener(name: str, port: int = 8080, protocol: str = "HTTP", **more: Any) -> Any:
    return {"name": name, "port": port, "protocol": protocol, **more}


def https(name: str = "https", port: int = 8443, **more: Any) -> Any:
    return listener(name, port, "HTTPS", tls={"certificateRefs": [{"name": "shop", **more}]})


def seen(made: Any, gateway: Any, controller: Any, listeners: Any, *objects: Any, error: str = "") -> Any:
    """(Conditions with a problem of the Gateway, and of each listener by name) as (status, reason, message)."""
    gateway["spec"]["listeners"] = listeners
    of_gateway, of_listeners = conditions_of(made.Cluster("c", *objects), gateway, controller, error)
    quiet = ("NoConflicts", "ListenerSetsNotAllowed", "Accepted", "Programmed", "ResolvedRefs")

    def problems(conditions: Any) -> Any:
        return {
            each["type"]: (each["status"], each["reason"], each["message"])
            for each in conditions
            if each["reason"] not in quiet
        }

    return problems(of_gateway), {name: problems(each) for name, each in of_listeners.items()}


@pytest.mark.parametrize("port", [8082, 9091, 19000])
def test_a_reserved_port_is_refused_with_the_lines_message(made: Any, gateway: Any, either: Any, port: int) -> None:
    place = " Gateway/gloo-system/http/a" if either.line.name == "2.1" else ""
    text = f"invalid port {port} in listener{place}: port is reserved"
    of_gateway, of_listeners = seen(made, gateway, either, [listener("a", port)])
    problem = dict.fromkeys(("Accepted", "Programmed"), ("False", "Invalid", text))
    assert of_listeners == {"a": {**problem, "Conflicted": ("True", "Invalid", text)}}
    assert of_gateway == {
        "Accepted": ("True", "ListenersNotValid", f"Some listeners are not programmed: a: {text}"),
        "Programmed": ("False", "Invalid", ""),
    }
    assert valid(gateway, either) == []


def test_beside_a_good_listener_the_gateway_is_programmed(made: Any, gateway: Any, either: Any) -> None:
    of_gateway, of_listeners = seen(made, gateway, either, [listener("a", 8082), listener("b")])
    assert of_gateway["Accepted"][:2] == ("True", "ListenersNotValid")
    assert ("Programmed" in of_gateway) is (either.line.name == "2.1")
    if "Programmed" in of_gateway:
        assert of_gateway["Programmed"] == ("True", "ListenersNotValid", "")
    assert of_listeners["b"] == {}
    assert [each["name"] for each in valid(gateway, either)] == ["b"]


def test_of_two_protocols_on_one_port_the_first_wins(made: Any, gateway: Any, either: Any) -> None:
    secret = {**made.obj("Secret", "shop", "gloo-system"), **SECRET}
    _gateway, of_listeners = seen(made, gateway, either, [listener("a"), https("b", 8080), listener("c")], secret)
    assert of_listeners["a"] == {}
    assert {condition[1] for condition in of_listeners["b"].values()} == {"ProtocolConflict"}
    # The same protocol, but also the same host name.
    assert {condition[1] for condition in of_listeners["c"].values()} == {"HostnameConflict"}


def test_an_unsupported_protocol_is_not_accepted(made: Any, gateway: Any, either: Any) -> None:
    alone, of_listeners = seen(made, gateway, either, [listener("a", protocol="UDP")])
    assert of_listeners == {"a": {"Accepted": ("False", "UnsupportedProtocol", "Protocol UDP is unsupported.")}}
    assert (alone["Accepted"], alone["Programmed"][:2]) == (BAD, ("False", "Invalid"))
    beside, _listeners = seen(made, gateway, either, [listener("a", protocol="UDP"), listener("b")])
    assert ("Accepted" in beside) is (either.line.name == "2.3")


@pytest.mark.parametrize(
    ("kinds", "line", "good"),
    [(["Foo"], "2.1", 0), (["Foo", "HTTPRoute"], "2.1", 0), (["Foo"], "2.3", 0), (["Foo", "HTTPRoute"], "2.3", 1)],
)
def test_kinds_of_routes_that_are_not_supported(
    made: Any, gateway: Any, controllers: Any, kinds: list[str], line: str, good: int
) -> None:
    allowed = {"kinds": [{"kind": kind} for kind in kinds]}
    of_gateway, of_listeners = seen(made, gateway, controllers(line), [listener("a", allowedRoutes=allowed)])
    text = "Found invalid route kinds: [Foo]"
    assert of_listeners == {"a": {"ResolvedRefs": ("False", "InvalidRouteKinds", text)}}
    assert (of_gateway.get("Accepted") == BAD) is not good
    assert ("ResolvedRefs" in of_gateway) is (line == "2.3")
    assert len(valid(gateway, controllers(line))) == good


@pytest.mark.parametrize(
    ("secret", "reason", "text"),
    [
        (SECRET, "", ""),
        ({**SECRET, "type": "Opaque"}, "InvalidCertificateRef", "is not a valid TLS secret"),
        (None, "InvalidCertificateRef", "Secret gloo-system/shop not found."),
    ],
)
def test_an_https_listener_needs_its_secret(
    made: Any, gateway: Any, either: Any, secret: Any, reason: str, text: str
) -> None:
    objects = [{**made.obj("Secret", "shop", "gloo-system"), **secret}] if secret else []
    of_gateway, of_listeners = seen(made, gateway, either, [https()], *objects)
    found = of_listeners["https"]
    assert (found == {}) is (reason == "")
    if reason:
        assert found["ResolvedRefs"][1] == reason and text in found["ResolvedRefs"][2]
        assert ("Accepted" in found) is (either.line.name == "2.3")
        assert of_gateway["Accepted"][:2] == ("True", "ListenersNotValid") and "Programmed" not in of_gateway
        assert ("ResolvedRefs" in of_gateway) is (either.line.name == "2.3")
    assert len(valid(gateway, either)) == 1


def test_a_secret_of_another_namespace_is_not_permitted(made: Any, gateway: Any, either: Any) -> None:
    _gateway, of_listeners = seen(made, gateway, either, [https(namespace="other")])
    assert of_listeners["https"]["ResolvedRefs"][1] == "RefNotPermitted"


def test_invalid_parameters_are_told_before_bad_listeners(made: Any, gateway: Any, either: Any) -> None:
    of_gateway, _listeners = seen(made, gateway, either, [listener("a", 8082)], error="wrong")
    assert of_gateway["Accepted"] == ("False", "InvalidParameters", "wrong")
    assert of_gateway["Programmed"][:2] == ("False", "Invalid")


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        ({}, ["HTTPRoute", "GRPCRoute"]),
        ({"protocol": "TLS"}, ["TLSRoute"]),
        ({"protocol": "UDP"}, []),
        ({"allowedRoutes": {"kinds": [{"kind": "HTTPRoute"}, {"kind": "Foo"}]}}, ["HTTPRoute"]),
        ({"allowedRoutes": {"kinds": [{"kind": "HTTPRoute", "group": "other"}]}}, []),
    ],
)
def test_supported_kinds_follow_protocol_and_allowed_kinds(given: Any, kinds: list[str]) -> None:
    assert [each["kind"] for each in supported_kinds({**listener("a"), **given})] == kinds
