"""Shared roots and the status of RootTrustPolicies."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lab.vendor.gloo_mesh.translation import Translation
from lab.vendor.gloo_mesh.trust import roots_differ, trust_status


def rooted(made: Any, name: Any, root: Any) -> Any:
    data = {"root-cert.pem": base64.b64encode(root).decode()} if root else {}
    secrets = [made.obj("Secret", "cacerts", "istio-system", data=data)] if root else []
    return made.Cluster(name, made.obj("Namespace", "istio-system", ""), *secrets)


@pytest.mark.parametrize(
    ("one", "two", "text"),
    [
        (b"root", b"root\n", ""),
        (b"root", None, "no secret cacerts in cluster two"),
        (b"root", b"other", "have different roots"),
    ],
)
def test_roots_must_be_shared(made: Any, one: Any, two: Any, text: Any) -> None:
    result = roots_differ({"one": rooted(made, "one", one), "two": rooted(made, "two", two)})
    assert text in result
    assert bool(result) is bool(text)


def test_trust_policy_status_is_flat(made: Any) -> None:
    policy = made.obj("RootTrustPolicy", "root-trust", "gloo-mesh")
    policy["metadata"]["generation"] = 2
    assert trust_status(Translation("ACCEPTED", "", {}, {}), policy) == {"state": "ACCEPTED", "observedGeneration": 2}
