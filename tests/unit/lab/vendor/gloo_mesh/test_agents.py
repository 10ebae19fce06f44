"""The status of agents' Pods, and the settings of agents and server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lab.vendor.gloo_mesh.agents import ServerSettings, _agent, crash_status, licensed, server_settings
from lab.vendor.gloo_mesh.relay import Problem
from lab.vendor.gloo_mesh.secrets import CLIENT_SECRET, OWNER


def pod(made: Any, *, waiting: Any = False) -> Any:
    result = made.pod("agent", {"app": "gloo-mesh-agent"}, "gloo-mesh")
    state = {"waiting": {"reason": "CrashLoopBackOff"}} if waiting else {"running": {}}
    result["status"]["containerStatuses"] = [{"name": "agent", "image": "i", "imageID": "", "restartCount": 2}]
    result["status"]["containerStatuses"][0]["state"] = state
    return result


def test_a_fatal_agent_is_crash_looping_with_the_reason(made: Any) -> None:
    status = crash_status(pod(made), Problem("no token", fatal=True))
    assert status is not None
    (container,) = status["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert container["lastState"]["terminated"]["message"] == "no token"
    assert container["restartCount"] == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"Ready": "False", "ContainersReady": "False"}


def test_it_recovers_once_the_secret_exists(made: Any) -> None:
    status = crash_status(pod(made, waiting=True), None)
    assert status is not None
    assert status["containerStatuses"][0]["ready"] is True
    assert status["containerStatuses"][0]["restartCount"] == 2


@pytest.mark.parametrize("why", [None, Problem("connection refused")])
def test_other_problems_do_not_change_the_pod(made: Any, why: Any) -> None:
    assert crash_status(pod(made), why) is None


def test_a_crash_looping_pod_is_not_changed_again(made: Any) -> None:
    assert crash_status(pod(made, waiting=True), Problem("no token", fatal=True)) is None


def server(made: Any, *args: Any) -> Any:
    template = {"spec": {"containers": [{"name": "gloo-mesh-mgmt-server", "args": list(args)}]}}
    return made.obj("Deployment", "gloo-mesh-mgmt-server", "gloo-mesh", spec={"template": template})


def test_the_servers_settings_are_arguments(made: Any) -> None:
    assert server_settings(made.Cluster("mgmt"), "gloo-mesh") == ServerSettings("mgmt")
    assert server_settings(made.Cluster("mgmt", server(made, "--cluster=m")), "gloo-mesh") == ServerSettings("m")
    disabled = ("--disable-relay-ca=true", "--disable-relay-ca-cert-generation=true", "--relay-tls-secret-name=mine")
    found = server_settings(made.Cluster("mgmt", server(made, *disabled)), "gloo-mesh")
    assert found == ServerSettings("mgmt", tls_secret="mine", ca=False, makes_ca=False)


@pytest.mark.parametrize(
    ("secret", "key", "expected"),
    [
        ("license-keys", "gloo-mesh-license-key", True),
        ("license-keys", "gloo-trial-license-key", True),
        ("license-keys", "gloo-gateway-license-key", False),
        ("other", "gloo-mesh-license-key", False),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_licence_or_trial_key_in_the_secret_that_is_named(
    made: Any, secret: Any, key: Any, expected: Any, named: Any
) -> None:
    where = "given" if named else "license-keys"
    found = made.obj("Secret", where if secret == "license-keys" else secret, "gloo-mesh")
    found["data"] = {key: base64.b64encode(b"key").decode()}
    args = ["--license-secret-name=given"] if named else []
    assert licensed(made.Cluster("mgmt", server(made, *args), found), "gloo-mesh") is expected


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("name", ["", "mine"])
def test_an_agents_certificate_is_its_own_unless_gloo_issued_it(made: Any, own: Any, name: Any) -> None:
    def secret(called: Any, labels: Any, **data: Any) -> Any:
        encoded = {key.replace("_", "."): base64.b64encode(value).decode() for key, value in data.items()}
        return made.obj("Secret", called, "gloo-mesh", labels, data=encoded)

    args = ["--cluster=c1", *([f"--relay-client-tls-secret-name={name}"] if name else [])]
    agent = made.pod("agent", {"app": "gloo-mesh-agent"}, "gloo-mesh", containers=[{"name": "a", "args": args}])
    client = secret(name or CLIENT_SECRET, {} if own else OWNER, tls_crt=b"client", ca_crt=b"own root")
    cluster = made.Cluster("c1", client, secret("relay-root-tls-secret", {}, ca_crt=b"root"))
    found = _agent(cluster, agent)
    assert (found.client, found.own, found.root) == (b"client", own, b"own root" if own else b"root")
    assert found.client_secret == (name or CLIENT_SECRET)
