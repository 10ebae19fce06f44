"""Which proxies accept each other."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lab.traffic.trust import Trust, from_certificates, from_header, of_namespace
from lab.vendor.gloo_mesh.certificates import cacerts, mesh_root

A, B = mesh_root("a", 10), mesh_root("b", 10)
ROOTS = {"A": A["tls.crt"], "B": B["tls.crt"], "AB": A["tls.crt"] + B["tls.crt"], "BA": B["tls.crt"] + A["tls.crt"]}


def cluster(made: Any, signer: Any, roots: Any) -> Any:
    issued = {key: base64.b64encode(value).decode() for key, value in cacerts("c", signer).items()}
    config = made.obj("ConfigMap", "istio-ca-root-cert", data={"root-cert.pem": ROOTS[roots].decode()})
    return made.Cluster("c", config, made.obj("Secret", "cacerts", "istio-system", data=issued))


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ((A, "A"), (A, "A"), True),
        ((A, "A"), (B, "B"), False),
        ((A, "AB"), (A, "A"), True),  # the steps of a rotation from A to B
        ((A, "BA"), (A, "A"), True),
        ((A, "AB"), (B, "AB"), True),
        ((B, "AB"), (B, "B"), True),
        ((B, "AB"), (A, "A"), False),  # a step too early
        ((A, "AB"), (B, "B"), False),
    ],
)
def test_each_signer_must_be_among_the_others_roots(made: Any, one: Any, two: Any, expected: Any) -> None:
    first, second = (of_namespace(cluster(made, *how), "bookinfo") for how in (one, two))
    assert first is not None and second is not None
    assert first.accepts(second) is second.accepts(first) is expected
    assert from_header(first.header) == first


def test_without_a_root_there_is_no_trust(made: Any) -> None:
    assert of_namespace(made.Cluster("c"), "bookinfo") is None
    assert from_certificates("") is None
    assert from_header("") is None
    assert from_certificates("ROOT ") == from_certificates("ROOT\n")


def test_without_a_chain_the_only_root_has_signed() -> None:
    trust = from_certificates(ROOTS["A"].decode())
    assert isinstance(trust, Trust) and trust.roots == {trust.signer}
