"""What is shown of values, and of what helm says about them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.helm.shown import (
    CHANGED,
    scrubbed,
    secret_texts,
    shown,
    shown_change,
)

HIDDEN = "(redacted)"


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"licensing": {"glooMeshLicenseKey": "k"}}, {"licensing": {"glooMeshLicenseKey": HIDDEN}}),
        ({"licensing": {"anything": "k"}}, {"licensing": {"anything": HIDDEN}}),
        ({"licensing": {"secretName": "name-of-a-secret"}}, {"licensing": {"secretName": "name-of-a-secret"}}),
        ({"license_key": "k"}, {"license_key": HIDDEN}),
        (
            {"manager": {"env": {"SOLO_ISTIO_LICENSE_KEY": "k"}}},
            {"manager": {"env": {"SOLO_ISTIO_LICENSE_KEY": HIDDEN}}},
        ),
        (
            {"controller": {"extraEnv": {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true"}}},
            {"controller": {"extraEnv": {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true"}}},
        ),
        ({"redis": {"password": "k", "port": 6379}}, {"redis": {"password": HIDDEN, "port": 6379}}),
        ({"imagePullSecrets": [{"name": "pull"}]}, {"imagePullSecrets": [{"name": "pull"}]}),
        ({"tls": {"enabled": True, "replicas": None}}, {"tls": {"enabled": True, "replicas": None}}),
    ],
)
def test_every_key_is_shown_and_no_secret(values: dict[str, Any], seen: dict[str, Any]) -> None:
    assert shown(values) == seen


def test_a_diff_tells_that_a_secret_changes_but_not_to_what() -> None:
    before = {"licensing": {"key": "one", "other": "same"}, "size": 1}
    after = {"licensing": {"key": "two", "other": "same", "new": "three"}, "size": 2}
    assert shown_change(before, after) == (
        {"licensing": {"key": HIDDEN, "other": HIDDEN}, "size": 1},
        {"licensing": {"key": CHANGED, "other": HIDDEN, "new": HIDDEN}, "size": 2},
    )


def test_only_texts_that_are_hidden_are_secrets() -> None:
    values = {
        "licensing": {"key": "k1"},
        "log": "debug",
        "redis": {"passwords": ["k2"], "tokenPort": 9900, "token": " ", "enabled": True},
        "env": [{"name": "API_TOKEN", "value": "k3"}],
        "url": "https://user:k4@example.com",
    }
    assert secret_texts(values) == {"k1", "k2", "k3", "https://user:k4@example.com"}


@pytest.mark.parametrize(
    ("said", "secrets", "told"),
    [
        ("values.x: 'abc123' is too short", ["abc123", ""], "values.x: '(redacted)' is too short"),
        ("abc and abcdef", ["abc", "abcdef"], "(redacted) and (redacted)"),
        ("data: YWJjMTIz", ["abc123"], "data: (redacted)"),
        ("data: YWJjMTIz", ["abc123\n"], "data: (redacted)"),
        ('{"line": "line one\\nline two"}', ["line one\nline two"], '{"line": "(redacted)"}'),
        ("k1 and debug", ["k1"], "(redacted) and debug"),
        ("port 9900, null", [" "], "port 9900, null"),
        ("as it is", [], "as it is"),
        ("password=hunter22", [], "password=(redacted)"),
    ],
)
def test_helms_words_come_without_secrets(said: str, secrets: list[str], told: str) -> None:
    assert scrubbed(said, [each for each in secrets if each.strip()]) == told
