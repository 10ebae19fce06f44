"""Which agents connect to the simulated management server."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_mesh.certificates import client_secret, relay_secrets
from lab.vendor.gloo_mesh.relay import Agent, Server, problem

MADE, OTHER = relay_secrets("gloo-mesh"), relay_secrets("gloo-mesh")
SERVER = Server(
    ready=True,
    addresses=["127.1.2.3:9900"],
    certificate=MADE["relay-server-tls-secret"]["tls.crt"],
    root=b"root",
    signing=MADE["relay-tls-signing-secret"]["tls.crt"],
    token=b"token",
    registered=frozenset({"cluster1"}),
)
AGENT = Agent(
    namespace="gloo-mesh",
    cluster="cluster1",
    address="127.1.2.3:9900",
    authority="gloo-mesh-mgmt-server.gloo-mesh",
    root=b"root\n",
    token=b"token",
)


@pytest.mark.parametrize(
    "agent",
    [
        {},
        {"authority": "another-name.gloo-mesh"},  # the certificate has a wildcard
        {"client": client_secret("cluster1", MADE["relay-tls-signing-secret"])["tls.crt"]},
    ],
)
def test_an_agent_without_a_problem_connects(agent: Any) -> None:
    assert problem(AGENT._replace(**agent), SERVER) is None


@pytest.mark.parametrize(
    ("agent", "server", "text", "fatal"),
    [
        ({"root": None}, {}, "no root certificate found in secret gloo-mesh/relay-root-tls-secret", True),
        (
            {"token": None},
            {},
            "no token data found in secret gloo-mesh/relay-identity-token-secret with key token",
            True,
        ),
        ({"address": "127.1.2.3:9901"}, {}, "connect: connection refused", False),
        ({"address": "127.9.9.9:9900"}, {}, "i/o timeout", False),
        ({}, {"ready": False}, "connect: connection refused", False),
        ({}, {"addresses": []}, "i/o timeout", False),
        ({"root": b"other"}, {}, "x509: certificate signed by unknown authority", False),
        (
            {"authority": "x.y"},
            {},
            "valid for gloo-mesh-mgmt-server.gloo-mesh, *.gloo-mesh, gloo-mesh-mgmt-server, not x.y",
            False,
        ),
        ({"authority": "a.b.gloo-mesh"}, {}, "not a.b.gloo-mesh", False),
        ({}, {"certificate": b"none"}, "x509: certificate is valid for , not gloo-mesh-mgmt-server.gloo-mesh", False),
        (
            {"client": client_secret("cluster1", OTHER["relay-tls-signing-secret"])["tls.crt"]},
            {},
            "remote error: tls: unknown certificate authority",
            False,
        ),
        ({"client": b"none"}, {}, "remote error: tls: unknown certificate authority", False),
        ({"token": b"other"}, {}, "Unauthenticated", False),
        ({}, {"registered": frozenset({"cluster2"})}, 'cluster "cluster1" is not registered', False),
    ],
)
def test_problems_of_an_agent(agent: Any, server: Any, text: Any, fatal: Any) -> None:
    result = problem(AGENT._replace(**agent), SERVER._replace(**server))
    assert result is not None
    assert text in result.message
    assert result.fatal is fatal
