"""What lines of logs mean, and that nothing secret is quoted."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.logs import OPERATOR_LICENCE, RELAY
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_logs import CERTIFICATES, CONTROLLER
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import log_causes

DIAL = 'connection error: desc = "transport: Error while dialing: dial tcp 192.0.2.9:9900:'
SHAKE = 'desc = "transport: authentication handshake failed: tls: failed to verify certificate:'


@pytest.mark.parametrize(
    ("line", "patterns", "hint"),
    [
        (
            "no token data found in secret gloo-mesh/relay-identity-token-secret with key token",
            RELAY,
            "copy the relay Secrets",
        ),
        (f'{SHAKE} x509: certificate is valid for a.example, not b.example"', RELAY, "authority"),
        (f'{SHAKE} x509: certificate signed by unknown authority"', RELAY, "copy relay-root-tls-secret again"),
        ('reading server preface: remote error: tls: unknown certificate authority"', RELAY, "relay-client-tls-secret"),
        ("rpc error: code = Unauthenticated desc = the token does not match", RELAY, "relay-identity-token-secret"),
        ('rpc error: code = PermissionDenied desc = cluster "c2" is not registered', RELAY, "KubernetesCluster"),
        (f'{DIAL} connect: connection refused"', RELAY, "nothing listens"),
        (f'{DIAL} i/o timeout"', RELAY, "firewall"),
        ("dial tcp: lookup relay.example on 10.96.0.10:53: no such host", RELAY, "DNS"),
        ("rpc error: code = Unavailable desc = closing", RELAY, "cannot be reached"),
        ("failed to dial: context deadline exceeded", RELAY, "firewall"),
        (f'{DIAL} connect: no route to host"', RELAY, "no route"),
        ("tls: first record does not look like a TLS handshake", RELAY, "does not use TLS"),
        ("license key is not valid", OPERATOR_LICENCE, "Istio also runs without"),
        (
            'client claims to be in cluster "Kubernetes", but we only know about local cluster "c1"',
            CERTIFICATES,
            "istioMetaClusterId",
        ),
        ("dial tcp: lookup istiod.istio-system.svc: no such host", CERTIFICATES, "istioDiscoveryAddress"),
        ("Unauthenticated desc = request authenticate failure", CERTIFICATES, "istiod's log"),
        (".spec.containers[2].env[3].value: expected string, got int", CONTROLLER, "such as cluster-1"),
        ("the license has expired", CONTROLLER, "licence"),
        ("failed: no licence key set", OPERATOR_LICENCE, "licence"),
    ],
)
def test_a_line_and_what_to_do(line: str, patterns: tuple[log_causes.Pattern, ...], hint: str) -> None:
    found = log_causes.cause(f"starting\n{line}\nshutting down", patterns)
    assert found is not None
    assert found.line == line
    assert hint in found.hint


def test_what_went_well_since_does_not_count_and_what_failed_since_does() -> None:
    assert log_causes.cause("connection refused\nconnected to relay server x", RELAY) is None
    assert log_causes.cause("connected to relay server x\nconnection refused", RELAY) is not None
    assert log_causes.cause("i/o timeout\nconnection refused", RELAY).hint.startswith("nothing")  # type: ignore[union-attr]
    assert log_causes.cause("all is well", RELAY) is None
    assert log_causes.cause("", RELAY) is None


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        ("using license from env", OPERATOR_LICENCE),
        ("license is valid until 2027", OPERATOR_LICENCE),
        ("license check ok", CONTROLLER),
        ('{"level":"debug","msg":"read identity token"}', RELAY),
    ],
)
def test_what_is_in_order_is_no_cause(line: str, patterns: tuple[log_causes.Pattern, ...]) -> None:
    assert log_causes.cause(line, patterns) is None


def test_only_the_last_lines_are_looked_at() -> None:
    lines = ["connection refused", *["nothing"] * log_causes.LINES]
    assert log_causes.cause("\n".join(lines), RELAY) is None


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("connection refused: token=s3cr3t-canary-value", "s3cr3t"),
        ('{"msg":"i/o timeout","token":"s3cr3t-canary-value"}', "s3cr3t"),
        ("i/o timeout with Authorization: Bearer abcdefcanary123456", "canary"),
        ("i/o timeout at https://user:canary-password@relay.example/", "canary"),
        ("i/o timeout eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJjYW5hcnkifQ.c2lnbmF0dXJl", "eyJ"),
        ("i/o timeout -----BEGIN PRIVATE KEY----- MIICcanary -----END PRIVATE KEY-----", "MIIC"),
        ("i/o timeout GLOO_MESH_LICENSE_KEY=canary-licence-0123", "canary"),
    ],
)
def test_no_secret_is_quoted(line: str, secret: str) -> None:
    found = log_causes.cause(line, RELAY)
    assert found is not None
    assert secret not in found.line
    assert "i/o timeout" in found.line or "connection refused" in found.line


def test_a_quoted_line_is_one_short_line() -> None:
    found = log_causes.cause("connection refused \x1b[31m" + "word " * 200, RELAY)
    assert found is not None
    assert "\x1b" not in found.line
    assert len(found.line) <= log_causes.EXCERPT


@pytest.mark.parametrize(
    ("time", "told"),
    [
        ("2026-01-01T10:59:59.999999Z\t", False),
        ("2026-01-01T11:00:00.000001Z\t", True),
        ("2026-01-01T11:00:00Z ", True),
        ("[no time] ", True),
    ],
)
def test_what_was_said_before_is_about_something_else(time: str, told: bool) -> None:
    text = f'{time}error: client claims to be in cluster "a"\n2026-01-01T12:00:00Z\tinfo: pushing\n'
    assert (log_causes.cause(text, CERTIFICATES, "2026-01-01T11:00:00Z") is not None) is told
