"""What may go and what must not."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.filter import removal

OURS = {"app.kubernetes.io/managed-by": "multicluster.gloo"}
EARLIER, MARKED, LATER = "2026-01-01T09:59:59Z", "2026-01-01T10:00:00Z", "2026-01-01T10:00:01Z"
OPERATOR: dict[str, Any] = {"name": "gloo-operator", "former_revision": 0, "created": MARKED, "groups": []}


def record(
    kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None, created: str = "", **more: Any
) -> dict[str, Any]:
    meta = {"name": name, "labels": labels or {}, "creationTimestamp": created, **more.pop("metadata", {})}
    found = {"metadata": meta, **more}
    return {"api_version": "v1", "kind": kind, "namespace": namespace, "name": name, "object": found}


def names(definitions: list[dict[str, Any]]) -> list[str]:
    return [each["metadata"]["name"] for each in definitions]


def test_ours_and_named_ones_once_each() -> None:
    found = [
        record("Service", "ours", "n", OURS),
        record("Service", "theirs", "n"),
        record("Secret", "other", "n", OURS),
    ]
    named = [{"api_version": "v1", "kind": "Service", "namespace": "n", "name": name} for name in ("ours", "adopted")]
    assert names(removal.removals(found, named, ["Service"])) == ["ours", "adopted"]
    assert removal.removals(found, [], ["Namespace"]) == []
    assert [each["name"] for each in removal.not_ours(found)] == ["theirs"]


@pytest.mark.parametrize(
    ("releases", "kept"),
    [
        ([OPERATOR], ["same second", "later"]),
        ([OPERATOR, {**OPERATOR, "created": LATER}], ["same second", "later"]),
        ([{**OPERATOR, "created": LATER}], ["later"]),
        ([{**OPERATOR, "former_revision": 3}], []),
        ([{**OPERATOR, "former_revision": 3}, {**OPERATOR, "created": LATER}], ["later"]),
        ([{**OPERATOR, "created": ""}], []),
        ([], []),
    ],
    ids=["ours", "earliest", "later", "theirs", "theirs and ours", "check mode", "none"],
)
def test_only_what_is_not_older_than_a_marker_of_ours_came_with_us(
    releases: list[dict[str, Any]], kept: list[str]
) -> None:
    found = [
        record("Secret", "older", "n", created=EARLIER),
        record("Secret", "same second", "n", created=MARKED),
        record("Secret", "later", "n", created=LATER),
        record("Secret", "nobody knows", "n", created=""),
    ]
    assert [each["name"] for each in removal.since(found, releases)] == kept


GLOO = {"annotations": {"certificates.mesh.gloo.solo.io/issued_certificate": "x"}}


def left_by_istiod(created: str = LATER) -> list[dict[str, Any]]:
    return [
        record("ConfigMap", "istio-ca-root-cert", "shop", created=created),
        record("ConfigMap", "istio-leader", "istio-system", created=created),
        record("ConfigMap", "istio-leader", "shop", created=created),
        record("ConfigMap", "istio-settings", "istio-system", created=created),
        record("Secret", "cacerts", "istio-system", created=created, metadata=GLOO),
        record("Secret", "cacerts", "istio-system", created=created),
        record("Secret", "istio-ca-secret", "istio-system", created=created),
        record("Secret", "istio-ca-secret", "shop", created=created),
        record("GatewayClass", "istio", created=created, spec={"controllerName": "istio.io/gateway-controller"}),
        record("GatewayClass", "shop", created=created, spec={"controllerName": "example.com/istio.io"}),
    ]


def istiod(namespace: str, revision: str) -> dict[str, Any]:
    return record("Pod", "istiod", namespace, {"app": "istiod", "istio.io/rev": revision}, created=EARLIER)


SHARED = [("istio-ca-root-cert", "shop"), ("istio", None)]
BESIDE = [("istio-leader", "istio-system"), ("cacerts", "istio-system"), ("istio-ca-secret", "istio-system")]


@pytest.mark.parametrize(
    ("istiods", "leaving", "expected"),
    [
        ([], "", [SHARED[0], *BESIDE, SHARED[1]]),
        ([istiod("elsewhere", "gloo")], "", BESIDE),
        ([istiod("istio-system", "other")], "", []),
        ([istiod("istio-system", "gloo")], "", []),
        ([istiod("istio-system", "gloo")], "gloo", [SHARED[0], *BESIDE, SHARED[1]]),
        ([istiod("istio-system", "gloo"), istiod("elsewhere", "gloo")], "gloo", BESIDE),
        ([istiod("istio-system", "gloo"), istiod("istio-system", "other")], "gloo", []),
    ],
    ids=["none", "elsewhere", "beside", "ours stays", "ours goes", "ours goes, elsewhere", "ours goes, beside"],
)
def test_istiods_notes_go_and_nothing_that_another_istiod_needs(
    istiods: list[dict[str, Any]], leaving: str, expected: list[tuple[str, str | None]]
) -> None:
    left = removal.istio_leftovers([*left_by_istiod(), *istiods], [OPERATOR], "istio-system", leaving)
    assert [(each["metadata"]["name"], each["metadata"].get("namespace")) for each in left] == expected


def test_what_an_earlier_istiod_left_is_not_ours() -> None:
    assert removal.istio_leftovers(left_by_istiod(EARLIER), [OPERATOR], "istio-system") == []


def gateway_class(name: str, controller: str, created: str = LATER) -> dict[str, Any]:
    return record("GatewayClass", name, created=created, spec={"controllerName": controller})


def proxy(name: str, of_class: str, owner: str = "Gateway", created: str = LATER) -> dict[str, Any]:
    labels = {"gateway.networking.k8s.io/gateway-class-name": of_class}
    return record("Deployment", name, "n", labels, created=created, metadata={"ownerReferences": [{"kind": owner}]})


CONTROLLERS = ["solo.io/gloo", "kgateway.dev/kgateway"]
OUR_CLASS = [gateway_class("gloo", "solo.io/gloo"), proxy("ours", "gloo")]
THEIR_CLASS = [gateway_class("kgateway", "kgateway.dev/kgateway"), proxy("theirs", "kgateway")]
EARLIER_CLASS = [
    gateway_class("kgateway", "kgateway.dev/kgateway", EARLIER),
    proxy("old", "kgateway", created=EARLIER),
    proxy("new", "kgateway"),
]


@pytest.mark.parametrize(
    ("found", "class_name", "expected"),
    [
        (OUR_CLASS, "gloo", ["ours", "gloo"]),
        (OUR_CLASS, "", ["ours", "gloo"]),
        ([*OUR_CLASS, gateway_class("waypoint", "solo.io/gloo")], "gloo", ["ours", "gloo", "waypoint"]),
        ([*OUR_CLASS, *EARLIER_CLASS], "", ["ours", "gloo"]),
        ([*OUR_CLASS, *THEIR_CLASS], "gloo", ["ours", "gloo"]),
        ([*OUR_CLASS, *THEIR_CLASS], "", ["ours", "gloo"]),
        ([*OUR_CLASS, *THEIR_CLASS], "kgateway", ["theirs", "kgateway"]),
        (EARLIER_CLASS, "kgateway", []),
        ([*THEIR_CLASS, *EARLIER_CLASS[:1]], "elsewhere", []),
        ([gateway_class("shop", "example.com/shop"), proxy("theirs", "shop")], "", []),
        ([*OUR_CLASS, proxy("hand-made", "gloo", owner="Team")], "", ["ours", "gloo"]),
        ([*OUR_CLASS, proxy("old", "gloo", created=EARLIER)], "", ["ours", "gloo"]),
        ([], "gloo", []),
    ],
)
def test_classes_and_proxies_of_our_controller_go_and_no_others(
    found: list[dict[str, Any]], class_name: str, expected: list[str]
) -> None:
    assert names(removal.controller_leftovers(found, [OPERATOR], CONTROLLERS, class_name)) == expected
    theirs = [{**OPERATOR, "former_revision": 2}]
    assert removal.controller_leftovers(found, theirs, CONTROLLERS, class_name) == []


BRINGS_A = {**OPERATOR, "groups": ["a.io"]}
BRINGS_B_LATER = {**OPERATOR, "groups": ["b.io"], "created": LATER}


@pytest.mark.parametrize(
    ("group", "created", "releases", "goes"),
    [
        ("a.io", LATER, [BRINGS_A], True),
        ("a.io", MARKED, [BRINGS_A], True),
        ("a.io", EARLIER, [BRINGS_A], False),
        ("b.io", LATER, [BRINGS_A], False),
        ("b.io", LATER, [BRINGS_A, BRINGS_B_LATER], True),
        ("b.io", MARKED, [BRINGS_A, BRINGS_B_LATER], False),
        ("a.io", LATER, [{**BRINGS_A, "former_revision": 4}], False),
        ("a.io", LATER, [], False),
    ],
)
def test_crds_go_when_a_release_of_ours_brought_them(
    group: str, created: str, releases: list[dict[str, Any]], goes: bool
) -> None:
    found = [record("CustomResourceDefinition", "x", created=created, spec={"group": group})]
    assert bool(removal.vendor_crds(found, releases)) is goes


def test_crds_with_our_label_go_in_any_case() -> None:
    ours = record("CustomResourceDefinition", "x", labels=OURS, created=EARLIER, spec={"group": "a.io"})
    assert removal.vendor_crds([ours, record("Secret", "y", "n", OURS)], []) == [ours]


def test_the_summary_says_what_became_of_everything() -> None:
    records = [
        {"kind": "Gateway", "namespace": "n", "name": "http", "action": "released"},
        {"kind": "HTTPRoute", "namespace": "n", "name": "r", "action": "deleted"},
        {"kind": "HTTPRoute", "namespace": "n", "name": "r2", "action": "absent"},
        {"kind": "Namespace", "namespace": "", "name": "n", "action": "kept"},
    ]
    releases = [{"namespace": "n", "name": "gloo", "action": "removed"}]
    assert removal.cleanup_lines(records, releases, [record("CustomResourceDefinition", "x")]) == [
        "removed: HTTPRoute n/r, Helm release n/gloo",
        "given back: Gateway n/http",
        "kept: Namespace n",
        "still there without cleanup_vendor_crds=true: CustomResourceDefinition x",
    ]
    assert removal.cleanup_lines([], [], []) == ["nothing to remove"]
