"""Which istiod gives a new Pod a sidecar, by the selectors of injectors or, without them, by Istio's rules."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.istiod.discovery import injecting
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod.objects import compared, proxy_address

Json = dict[str, Any]

DEFAULT, GLOO = {"revision": "default", "tags": []}, {"revision": "gloo", "tags": ["prod"]}


def _has(key: str, *values: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": list(values)}]}


def _hooks(revision: str) -> list[tuple[Json, Json]]:
    """The pairs of a revision's chart, shortened: by namespace unless the Pod opts out, or by the Pod alone."""
    out = {"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}
    unlabelled = {
        "matchExpressions": [{"key": k, "operator": "DoesNotExist"} for k in ("istio.io/rev", "istio-injection")]
    }
    return [
        (_has("istio.io/rev", revision), {"matchExpressions": [out]}),
        (unlabelled, {"matchExpressions": [out, *_has("istio.io/rev", revision)["matchExpressions"]]}),
    ]


CASES = [
    ({"istio.io/rev": "gloo"}, {}, "gloo"),
    ({"istio.io/rev": "gloo"}, {"sidecar.istio.io/inject": "false"}, ""),
    ({}, {"istio.io/rev": "gloo"}, "gloo"),
    ({}, {"istio.io/rev": "gone"}, ""),
    ({"istio.io/rev": "gone"}, {}, ""),
    ({}, {}, ""),
]


@pytest.mark.parametrize(("namespace", "pod", "revision"), CASES)
@pytest.mark.parametrize("hooks", [None, [[], _hooks("gloo")], [[], []]])
def test_injectors_and_rules_agree(namespace: Json, pod: Json, revision: str, hooks: Any) -> None:
    found = injecting({"istiods": [DEFAULT, GLOO], "hooks": hooks}, "app", namespace, pod)
    assert [each["revision"] for each in found] == ([revision] if revision else [])


@pytest.mark.parametrize(
    ("namespace", "pod", "revision"),
    [
        ({"istio-injection": "enabled"}, {}, "default"),
        ({"istio-injection": "enabled", "istio.io/rev": "gloo"}, {}, "default"),
        ({"istio-injection": "disabled"}, {"istio.io/rev": "gloo"}, ""),
        ({"istio.io/rev": "prod"}, {}, "gloo"),
        ({}, {"sidecar.istio.io/inject": "true"}, "default"),
        ({}, {"sidecar.istio.io/inject": "true", "istio.io/rev": "gloo"}, "gloo"),
    ],
)
def test_rules_without_injectors(namespace: Json, pod: Json, revision: str) -> None:
    found = injecting({"istiods": [DEFAULT, GLOO], "hooks": None}, "app", namespace, pod)
    assert [each["revision"] for each in found] == ([revision] if revision else [])


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("[2001:DB8::1]:9900", "[2001:db8:0:0::1]:9900", True),
        ("2001:DB8::1", "[2001:db8::1]", True),
        ("[2001:db8::1]:9900", "[2001:db8::1]:9901", False),
        ("Relay.Example.:9900", "relay.example:9900", True),
        ("192.0.2.1:9900", "192.0.2.10:9900", False),
    ],
)
def test_addresses_are_compared_by_meaning(one: str, two: str, same: bool) -> None:
    assert (compared(one) == compared(two)) is same


@pytest.mark.parametrize(
    ("env", "address"),
    [
        ([{"name": "PROXY_CONFIG", "value": '{"discoveryAddress":"istiod.example:15012"}'}], "istiod.example:15012"),
        ([{"name": "PROXY_CONFIG", "value": "{}"}, {"name": "CA_ADDR", "value": "a:15012"}], "a:15012"),
        ([{"name": "PROXY_CONFIG", "value": "{"}], ""),
        ([{"name": "PROXY_CONFIG", "valueFrom": {}}], ""),
        (None, ""),
    ],
)
def test_the_address_in_a_sidecar(env: Any, address: str) -> None:
    assert proxy_address({"name": "istio-proxy", "env": env}) == address
