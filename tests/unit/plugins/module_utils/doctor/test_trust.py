"""Roots are sets of certificates: a rotation in the right order never fails, one in the wrong order always does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import authorities
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor.trust import (
    Trust,
    refused,
    signer_in,
    state_of,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.mesh import certificates
from ansible_collections.multicluster.gloo.plugins.module_utils.mesh.certificates import certificates_in
from health_site import cacerts, secret


def trust(cluster: str, signs: str, *trusted: str) -> Trust:
    """A cluster that signs with a root and trusts roots; *signs* "" when its signing certificate is not known."""
    roots = certificates_in("".join(authorities.root(name).pem for name in trusted))
    chain = certificates_in(authorities.issued(f"{cluster} of {signs}", signs).pem) if signs else ()
    return Trust(cluster, None, roots, chain)


def problems(*trusts: Trust) -> list[str]:
    return [text for each in trusts for _other, text in refused(trusts, each)]


#: the steps of a rotation from A to B: trusted roots, and the root that signs
STEPS = (("A", ("A",)), ("A", ("A", "B")), ("B", ("B", "A")), ("B", ("B",)))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
@settings(deadline=None)
def test_clusters_at_neighbouring_steps_of_a_rotation_accept_each_other(steps: list[int]) -> None:
    """A step is taken by all clusters before one takes the next."""
    trusts = [trust(f"c{n}", STEPS[step][0], *STEPS[step][1]) for n, step in enumerate(steps)]
    together = max(steps) - min(steps) <= 1
    assert (problems(*trusts) == []) is together
    if together:
        assert state_of(trusts)[0] == ("ok" if len({frozenset(STEPS[s][1]) for s in steps}) == 1 else "warning")


def test_the_first_and_the_last_step_are_named() -> None:
    verdict, text = state_of([trust("c1", "A", "A", "B"), trust("c2", "A", "A"), trust("c3", "A", "A")])
    assert verdict == "warning"
    assert "only c1 trusts all roots, c2, c3 do not; all sign with CN=A" in text
    assert "first step" in text and "last" in text


def test_equal_sets_of_several_roots_are_ok_and_name_the_signers() -> None:
    verdict, text = state_of([trust("c1", "A", "A", "B"), trust("c2", "B", "B", "A")])
    assert verdict == "ok"
    assert "the same 2 root certificates in c1, c2" in text
    assert "CN=A" in text and "CN=B" in text


@pytest.mark.parametrize(
    ("one", "two", "accepted"),
    [
        (("A",), ("A",), True),
        (("A", "B"), ("A",), True),
        (("A",), ("A", "B"), None),
        (("A",), ("B",), False),
        (("A", "B"), ("B", "C"), None),
    ],
)
def test_an_unknown_signer_is_one_of_its_roots(
    one: tuple[str, ...], two: tuple[str, ...], accepted: bool | None
) -> None:
    assert trust("c1", "", *one).accepts(trust("c2", "", *two)) is accepted


def test_what_is_not_known_is_a_warning() -> None:
    trusts = [trust("c1", "A", "A"), trust("c2", "", "A", "B")]
    assert problems(*trusts) == []
    verdict, text = state_of(trusts)
    assert verdict == "warning"
    assert "whether c1 accept" in text


def test_of_three_clusters_the_odd_one_is_reported() -> None:
    trusts = [trust("c1", "B", "B"), trust("c2", "A", "A"), trust("c3", "A", "A")]
    found = {each.cluster: [other.cluster for other, _text in refused(trusts, each)] for each in trusts}
    assert found == {"c1": ["c2", "c3"], "c2": [], "c3": []}


def test_without_the_library_equal_sets_are_ok_and_others_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unverified(cluster: str, *trusted: str) -> Trust:
        chain = authorities.Authority(f"{cluster}, not verified before", authorities.root("A")).pem
        return Trust(cluster, None, trust(cluster, "", *trusted).trusted, certificates_in(chain))

    one, two, both = unverified("c1", "A"), unverified("c2", "A"), unverified("c3", "A", "B")
    monkeypatch.setattr(certificates, "MISSING", "it cannot be imported")
    assert (one.accepts(two), both.accepts(one), one.accepts(both)) == (True, True, None)


@pytest.mark.parametrize(
    ("record", "roots", "signer"),
    [
        (cacerts("c1", "A", "A", "B"), ["A", "B"], "c1 of A"),
        (secret({"tls.crt": authorities.issued("x", "A").pem, "ca.crt": authorities.root("A").pem}), ["A"], "x"),
        (secret({"ca-cert.pem": authorities.root("A").pem}), [], "A"),
        (secret({"other": "x"}), None, ""),
        (None, None, ""),
        ({"created": None, "keys": {}}, None, ""),
    ],
)
def test_signers_in_keys_of_istio_and_of_cert_manager(record: object, roots: list[str] | None, signer: str) -> None:
    found = signer_in(record)  # type: ignore[arg-type]
    if roots is None:
        assert found is None
        return
    assert found is not None
    assert [each.title.split(" (")[0] for each in found[0]] == [f"CN={name}" for name in roots]
    assert found[1][0].title.startswith(f"CN={signer} ")
