"""Which agents connect to the simulated management server."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_mesh.certificates import certificate, client_secret, ec_key, pem, relay_secrets
from lab.vendor.gloo_mesh.relay import Agent, Server, problem

MADE, OTHER = relay_secrets("gloo-mesh"), relay_secrets("gloo-mesh")
SERVER = Server(
    ready=True,
    addresses=["127.1.2.3:9900"],
    certificate=MADE["relay-server-tls-secret"]["tls.crt"],
    authorities=MADE["relay-tls-signing-secret"]["tls.crt"],
    token=b"token",
    registered=frozenset({"cluster1"}),
)
AGENT = Agent(
    namespace="gloo-mesh",
    cluster="cluster1",
    address="127.1.2.3:9900",
    authority="gloo-mesh-mgmt-server.gloo-mesh",
    root=MADE["relay-root-tls-secret"]["ca.crt"] + b"\n",
    token=b"token",
)


@pytest.mark.parametrize(
    "agent",
    [
        {},
        {"authority": "another-name.gloo-mesh"},  # the certificate has a wildcard
        {"client": client_secret("cluster1", MADE["relay-tls-signing-secret"])["tls.crt"]},
        {"root": OTHER["relay-root-tls-secret"]["ca.crt"] + MADE["relay-root-tls-secret"]["ca.crt"]},  # a rotation
    ],
)
def test_an_agent_without_a_problem_connects(agent: Any) -> None:
    assert problem(AGENT._replace(**agent), SERVER) is None


def test_with_user_supplied_certificates_no_root_secret_and_no_token_is_needed() -> None:
    """A server with tlsSecret and everything disabled; the agent's certificate comes with an intermediate."""
    root, between, key = ec_key(), ec_key(), ec_key()
    root_cert = certificate("company root", root, None, authority=True)
    between_cert = certificate("company intermediate", between, (root_cert, root), authority=True)
    server_cert = certificate("s", key, (root_cert, root), names=["gloo-mesh-mgmt-server.gloo-mesh"])
    client = certificate("cluster1", key, (between_cert, between), names=["cluster1"])
    server = SERVER._replace(certificate=pem(server_cert), authorities=pem(root_cert), token=b"", signs=False)
    agent = AGENT._replace(own=True, root=pem(root_cert), client=pem(client) + pem(between_cert), token=None)
    assert problem(agent, server) is None
    for broken, text in (
        ({"client": pem(client)}, "remote error: tls: unknown certificate authority"),
        ({"root": None}, "no root certificate found in secret gloo-mesh/relay-client-tls-secret with key ca.crt"),
        ({"root": AGENT.root}, "x509: certificate signed by unknown authority"),
    ):
        found = problem(agent._replace(**broken), server)
        assert found is not None and text in found.message


def test_an_agent_that_is_connected_stays_so_without_its_registration() -> None:
    server = SERVER._replace(registered=frozenset())
    assert problem(AGENT._replace(held=True), server) is None


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
        ({"root": OTHER["relay-root-tls-secret"]["ca.crt"]}, {}, "x509: certificate signed by unknown", False),
        ({}, {"certificate": b""}, "connect: connection refused", False),
        ({}, {"signs": False}, "this server signs no certificates", False),
        ({"token": b"other", "client": b"none"}, {}, "remote error: tls: unknown certificate authority", False),
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
        ({}, {"registered": frozenset({"cluster2"})}, 'cluster "cluster1" is not registered', True),
    ],
)
def test_problems_of_an_agent(agent: Any, server: Any, text: Any, fatal: Any) -> None:
    result = problem(AGENT._replace(**agent), SERVER._replace(**server))
    assert result is not None
    assert text in result.message
    assert result.fatal is fatal
