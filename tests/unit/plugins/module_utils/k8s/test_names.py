"""One reader of host and port for every domain: addresses of istiod, Host headers, rules of NO_PROXY."""

from __future__ import annotations

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.names import (
    join_host_port,
    request_host,
    split_host_port,
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("istiod", "istiod", None),
        ("istiod:15012", "istiod", 15012),
        ("istiod:100000", "istiod", 100000),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("[fd00::5]:15012", "fd00::5", 15012),
        ("[fd00::5]", "fd00::5", None),
        ("fd00::5", "fd00::5", None),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("[fd00::5", "[fd00::5", None),
        ("a[b:80", "a[b:80", None),
        ("istiod:", "istiod:", None),
        ("istiod:https", "istiod:https", None),
        ("istiod:\u0663", "istiod:\u0663", None),
        (":80", "", 80),
        ("", "", None),
    ],
)
def test_host_and_port(text: str, host: str, port: int | None) -> None:
    assert split_host_port(text) == (host, port)


@pytest.mark.parametrize(("host", "shown"), [("a.example", "a.example:80"), ("fd00::5", "[fd00::5]:80")])
def test_host_and_port_are_joined_as_they_are_split(host: str, shown: str) -> None:
    assert join_host_port(host, 80) == shown and split_host_port(shown) == (host, 80)


@pytest.mark.parametrize(
    ("text", "valid"),
    [("a.example:80", True), ("[::1]:80", True), ("::1", True), ("a:0", False), ("a:65536", False), ("[::1", False)],
)
def test_a_host_for_requests_has_a_port_or_none(text: str, valid: bool) -> None:
    assert request_host(text) is valid
