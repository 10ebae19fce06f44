"""PEM texts are sets of certificates; a chain is trusted by its signatures, not by its names or its text."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import certificates
from ansible_collections.multicluster.gloo.plugins.module_utils.mesh.certificates import (
    CannotVerify,
    anchor_of,
    certificates_in,
    public_part,
)
from authorities import Authority, issued, private_key, root

A, B = root("A"), root("B")
NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
OLD = datetime(2026, 1, 1, tzinfo=UTC)


def certs(*texts: Authority | str) -> tuple[certificates.Certificate, ...]:
    return certificates_in("".join(each if isinstance(each, str) else each.pem for each in texts))


@given(
    st.permutations([A.pem, B.pem, A.pem]),
    st.lists(st.sampled_from(["", "\n", "# active root\n", "  \t\n", "-----BEGIN CRL-----\n"]), min_size=4, max_size=4),
    st.sampled_from(["\n", "\r\n", "\n\n", "\n  "]),
)  # fmt: skip
def test_order_repetition_comments_and_white_space_do_not_matter(
    bundle: list[str], between: list[str], end: str
) -> None:
    text = "".join(remark + pem for remark, pem in zip(between, bundle, strict=False)) + between[-1]
    assert set(certificates_in(text.replace("\n", end))) == set(certs(A, B))


def test_a_text_without_certificates_is_empty() -> None:
    assert certificates_in("") == certificates_in("no PEM") == certificates_in(private_key()) == ()


def test_private_keys_are_left_out() -> None:
    kept = public_part(A.pem + private_key() + B.pem)
    assert "PRIVATE KEY" not in kept
    assert certificates_in(kept) == certs(A, B)


def test_a_title_has_subject_and_fingerprint() -> None:
    (found,) = certs(A)
    assert found.title == f"CN=A ({found.digest})"
    assert certificates_in("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----")[0].title.startswith(
        "certificate ("
    )


def test_a_chain_leads_to_the_root_that_signed_it() -> None:
    signer = issued("one of A", "A")
    assert anchor_of(certs(signer), certs(B, A)) == certs(A)[0]
    assert anchor_of(certs(signer), certs(B)) is None
    assert anchor_of(certs(A), certs(A)) == certs(A)[0]
    assert anchor_of((), certs(A)) is None


def test_intermediates_are_found_in_any_order_and_may_be_anchors() -> None:
    upper = issued("upper", "A")
    lower = Authority("lower", upper)
    assert anchor_of(certs(lower, upper), certs(A)) == certs(A)[0]
    assert anchor_of(certs(lower, B, upper), certs(A)) == certs(A)[0]
    assert anchor_of(certs(lower), certs(A)) is None
    assert anchor_of(certs(lower), certs(upper)) == certs(upper)[0]


def test_a_cross_signed_root_leads_to_the_former_root() -> None:
    cross = Authority("B", A)  # the key of root B, signed by root A
    assert anchor_of(certs(issued("one of B", "B"), cross), certs(A)) == certs(A)[0]


def test_equal_names_are_not_enough() -> None:
    other = Authority("A of another site", None, subject="A")
    assert anchor_of(certs(issued("one of A", "A")), certs(other)) is None


def test_a_renewed_root_with_the_same_key_is_trusted() -> None:
    renewed = Authority("A", None)
    assert certs(renewed) != certs(A)
    assert anchor_of(certs(issued("one of A", "A")), certs(renewed)) == certs(renewed)[0]


def test_a_certificate_that_is_no_ca_signs_nothing() -> None:
    leaf = Authority("leaf", A, ca=False)
    assert anchor_of(certs(Authority("below", leaf), leaf), certs(A)) is None


def test_expired_certificates_are_not_used() -> None:
    expired = Authority("expired", None, end=OLD)
    below = Authority("below expired", expired)
    assert anchor_of(certs(below), certs(expired, A), NOW) is None
    assert anchor_of(certs(below), certs(expired, A)) == certs(expired)[0]
    assert anchor_of(certs(Authority("signer", A, end=OLD)), certs(A), NOW) is None


def test_without_the_library_only_equal_certificates_are_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, signer = certs(A), certs(Authority("not verified before", A))
    monkeypatch.setattr(certificates, "MISSING", "it cannot be imported")
    assert anchor_of(chain, certs(A, B)) == chain[0]
    with pytest.raises(CannotVerify, match="it cannot be imported"):
        anchor_of(signer, certs(A))


@pytest.mark.parametrize("text", ["A", "not base64 !", "MIIB", "é"])
def test_damaged_certificates_trust_only_themselves(text: str) -> None:
    damaged = certificates.Certificate(text)
    assert anchor_of((damaged,), (damaged,)) == damaged
    assert anchor_of((damaged,), certs(A)) is None
    assert anchor_of(certs(A), (damaged,)) is None
    assert not damaged.is_expired(NOW)
    assert damaged.digest
