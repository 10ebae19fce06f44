"""What the facts keep of Secrets, and where they look for those of the relay."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

import authorities
import health_site
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.facts import (
    CLIENT_SECRET,
    ROOT_SECRET,
    TOKEN_SECRET,
    Facts,
    digest,
    public_record,
    relay_secret,
    written,
)

Json = dict[str, Any]

ROOT, KEY = authorities.root("mesh").pem, authorities.private_key()


def _secret(values: dict[str, str], **meta: Any) -> Json:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": "cacerts", **meta}, "type": "Opaque", "data": data}


def test_certificates_are_kept_and_private_keys_are_not_even_as_digests() -> None:
    values = {"root-cert.pem": ROOT, "ca-key.pem": KEY, "tls.key": "canary", "bundle": ROOT + KEY, "token": "canary"}
    record = public_record(_secret(values, creationTimestamp="2026-01-01T10:00:00Z"))
    assert record is not None
    assert set(record["keys"]) == {"root-cert.pem", "token"}
    assert record["keys"]["token"] == digest(b"canary")
    assert set(record["certificates"]) == {"root-cert.pem", "bundle"}
    shown = json.dumps(record)
    assert "PRIVATE KEY" not in shown and "canary" not in shown
    assert KEY.splitlines()[1] not in shown
    assert (record["created"], record["type"], record["written"]) == ("2026-01-01T10:00:00Z", "Opaque", None)


@pytest.mark.parametrize("secret", [None, {}, {"data": None}, {"data": {"a": None}}])
def test_a_secret_without_values(secret: Json | None) -> None:
    record = public_record(secret)
    assert record is None if secret is None else record is not None and record["certificates"] == {}


def test_the_last_write_of_the_data_counts() -> None:
    def entry(time: str, fields: Json | None) -> Json:
        return {"manager": "x", "time": time, "fieldsV1": fields}

    fields = [
        entry("2026-01-01T10:00:00Z", {"f:data": {}}),
        entry("2026-01-01T11:00:00Z", {"f:data": {}}),
        entry("2026-01-01T12:00:00Z", {"f:metadata": {}}),
        entry("2026-01-01T13:00:00Z", None),
    ]
    assert written({"metadata": {"managedFields": fields}}) == 1767265200.0
    assert written({"metadata": {}}) is None


def _facts(*arguments: str, role: str = "workload") -> Facts:
    container = {
        "name": "main",
        "image": "x/gloo-mesh-agent:1",
        "args": ["--cluster=c1", "--relay-address=a:1", *arguments],
    }
    return Facts("c1", role, lists={"Deployment": [health_site.deployment("agent", "solo", {}, [container])]})


@pytest.mark.parametrize(
    ("arguments", "usual", "place"),
    [
        ((), ROOT_SECRET, ("solo", ROOT_SECRET)),
        (("--relay-root-cert-secret-name=own",), ROOT_SECRET, ("solo", "own")),
        (("--relay-root-tls-secret-name=own",), ROOT_SECRET, ("solo", "own")),
        (("--relay-root-cert-secret-namespace=vault",), ROOT_SECRET, ("vault", ROOT_SECRET)),
        (("--relay-identity-token-secret-name", "own"), TOKEN_SECRET, ("solo", "own")),
        (("--relay-client-cert-secret-name=agent-tls",), CLIENT_SECRET, ("solo", "agent-tls")),
        (("--relay-client-cert-secret-name=agent-tls",), ROOT_SECRET, ("solo", ROOT_SECRET)),
    ],
)
def test_relay_secrets_are_where_the_arguments_say(
    arguments: tuple[str, ...], usual: str, place: tuple[str, str]
) -> None:
    assert relay_secret(_facts(*arguments), usual) == place


def test_relay_secrets_without_a_known_agent_have_their_usual_place() -> None:
    assert relay_secret(Facts("c1", "workload"), ROOT_SECRET) == ("gloo-mesh", ROOT_SECRET)
    unreadable = Facts("c1", "workload", unreadable={"Deployment": "Forbidden"})
    assert relay_secret(unreadable, CLIENT_SECRET) == ("gloo-mesh", CLIENT_SECRET)
