"""Management server and agents are found by what they run, whatever release, namespace and name they have."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import parts

Json = dict[str, Any]


def deployment(
    name: str, *, ns: str = "gloo-mesh", app: str = "x", replicas: Any = 1, ready: int = 1, **container: Any
) -> Json:
    template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "main", **container}]}}
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": ns},
        "spec": {"replicas": replicas, "template": template},
        "status": {"readyReplicas": ready},
    }


SERVER_IMAGE = "gcr.io/gloo-mesh/gloo-mesh-mgmt-server:2.11.0"


@pytest.mark.parametrize(
    "found",
    [
        deployment("gloo-mesh-mgmt-server"),
        deployment("platform-server", ns="gloo-platform", image=SERVER_IMAGE),
        deployment("server", image="localhost:5000/mirror/gloo-mesh-mgmt-server@sha256:00"),
        deployment("server", image="registry.example/gloo-mesh-mgmt-server-fips:2.14.0"),
        deployment("server", app="gloo-mesh-mgmt-server"),
    ],
)
def test_a_management_server_is_found(found: Json) -> None:
    others = [deployment("gloo-mesh-ui", image="gcr.io/gloo-mesh/gloo-mesh-ui:2.11.0"), deployment("reviews")]
    assert parts.servers([*others, found]) == [found]
    assert parts.agents([*others, found]) == []


@pytest.mark.parametrize(
    "found",
    [
        deployment("gloo-mesh-agent"),
        deployment("agent", ns="solo", image="gcr.io/gloo-mesh/gloo-mesh-agent:2.6.3"),
        deployment("relay", image="mirror.example/abc:1", args=["--cluster=c1", "--relay-address=192.0.2.1:9900"]),
        deployment("relay", args=["--cluster", "c1", "--relay-address", "192.0.2.1:9900"]),
        deployment("relay", command=["/agent", "--cluster=c1"], args=["--relay-address=[2001:db8::1]:9900"]),
    ],
)
def test_an_agent_is_found(found: Json) -> None:
    others = [deployment("istiod", args=["discovery", "--cluster=c1"]), deployment("gloo-network-agent")]
    assert parts.agents([*others, found]) == [found]
    assert parts.servers([*others, found]) == []


def test_of_several_the_one_in_use_is_the_first() -> None:
    off = deployment("gloo-mesh-agent", ns="a", replicas=0, ready=0)
    broken = deployment("gloo-mesh-agent", ns="b", ready=0)
    used = deployment("gloo-mesh-agent", ns="c", replicas=None)
    assert parts.agents([off, broken, used]) == [used, broken, off]


@pytest.mark.parametrize(
    ("container", "names", "value"),
    [
        ({"args": ["--cluster=c1"]}, ("cluster",), "c1"),
        ({"args": ["--cluster", "c1"]}, ("cluster",), "c1"),
        ({"args": ["--cluster=old", "--cluster=c1"]}, ("cluster",), "c1"),
        ({"args": ["--cluster=$(NAME)"], "env": [{"name": "NAME", "value": "c1"}]}, ("cluster",), "c1"),
        ({"args": ["--root-cert-name=own"]}, ("root-tls-name", "root-cert-name"), "own"),
        ({"args": ["--cluster-name=c1"]}, ("cluster",), ""),
        ({}, ("cluster",), ""),
    ],
)
def test_an_argument_is_read_in_any_spelling(container: Json, names: tuple[str, ...], value: str) -> None:
    assert parts.argument(deployment("agent", **container), *names) == value
    assert parts.argument(None, *names) == ""


def test_services_of_a_workload_select_its_pods() -> None:
    def service(name: str, app: str, *ports: str) -> Json:
        spec = {"selector": {"app": app}, "ports": [{"name": each, "port": 1} for each in ports]}
        return {"kind": "Service", "metadata": {"name": name, "namespace": "gloo-mesh"}, "spec": spec}

    server = deployment("server", app="gloo-mesh-mgmt-server")
    own, external = service("server", "gloo-mesh-mgmt-server", "grpc"), service("a-lb", "gloo-mesh-mgmt-server", "grpc")
    metrics, other = service("b", "gloo-mesh-mgmt-server", "stats"), service("c", "reviews", "grpc")
    found = parts.services_of(server, [external, metrics, other, own], "grpc")
    assert [each["metadata"]["name"] for each in found] == ["server", "a-lb"]
    assert parts.services_of(None, [own]) == []


@pytest.mark.parametrize("damaged", [{}, {"spec": None}, {"spec": {"template": {"spec": {"containers": None}}}}])
def test_damaged_objects_are_not_parts(damaged: Json) -> None:
    assert parts.servers([damaged]) == parts.agents([damaged]) == []


def test_the_server_with_registrations_and_the_agent_of_the_cluster_come_first() -> None:
    def order(found: list[Json]) -> list[str]:
        return [each["metadata"]["namespace"] for each in found]

    both = [deployment(parts.SERVER, ns=each) for each in ("aaa", "bbb")]
    assert order(parts.servers(both)) == ["aaa", "bbb"]
    assert order(parts.servers(both, [{"metadata": {"name": "c1", "namespace": "bbb"}}])) == ["bbb", "aaa"]
    registrations = [
        {"metadata": {"name": name, "namespace": ns}} for name, ns in (("prod", "aaa"), ("p2", "aaa"), ("c1", "bbb"))
    ]
    assert order(parts.servers(both, registrations)) == ["aaa", "bbb"]
    assert order(parts.servers(both, registrations, {"c1", "c2"})) == ["bbb", "aaa"]
    assert order(parts.servers(both, registrations, {"c3"})) == ["aaa", "bbb"]
    found = [
        deployment(parts.AGENT, ns=each, args=[f"--cluster={name}"]) for each, name in (("aaa", "prod"), ("bbb", "c1"))
    ]
    assert order(parts.agents(found)) == ["aaa", "bbb"]
    assert order(parts.agents(found, "c1")) == ["bbb", "aaa"]
    found[1]["spec"]["replicas"] = 0
    assert order(parts.agents(found, "c1")) == ["aaa", "bbb"]
