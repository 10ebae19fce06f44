"""What programs left: what may go and what must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.apply.manifests import Ref
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup import leftovers
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.releases import NotedRelease

from .objects import EARLIER, LATER, NOTED, Json, adopted, build, ours

OPERATOR = NotedRelease("gloo-operator", "gloo-mesh", NOTED, purpose="operator")
THEIRS = NotedRelease("gloo-operator", "gloo-mesh", NOTED, ours=False)


def names(objects: list[Json]) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def places(objects: list[Json]) -> list[tuple[str, str | None]]:
    return [(obj["metadata"]["name"], obj["metadata"].get("namespace")) for obj in objects]


LATE = NotedRelease("late", "gloo-mesh", LATER)


@pytest.mark.parametrize(
    ("releases", "kept"),
    [
        ([OPERATOR], ["same second", "later"]),
        ([OPERATOR, LATE], ["same second", "later"]),
        ([LATE], ["later"]),
        ([THEIRS], []),
        ([THEIRS, LATE], ["later"]),
        ([NotedRelease("unwritten", "gloo-mesh", "")], []),
        ([], []),
    ],
    ids=["ours", "earliest", "later", "theirs", "theirs and ours", "no note yet", "none"],
)
def test_only_what_is_not_older_than_a_note_of_ours_came_with_us(releases: list[NotedRelease], kept: list[str]) -> None:
    objects = [
        build("Secret", "older", "n", created=EARLIER),
        build("Secret", "same second", "n", created=NOTED),
        build("Secret", "later", "n", created=LATER),
        build("Secret", "of unknown age", "n", created=""),
    ]
    assert names(leftovers.since(objects, releases)) == kept


GLOO = {"annotations": {"certificates.mesh.gloo.solo.io/issued_certificate": "x"}}


def left_by_istiod(created: str = LATER) -> list[Json]:
    return [
        build("ConfigMap", "istio-ca-root-cert", "shop", created=created),
        build("ConfigMap", "istio-leader", "istio-system", created=created),
        build("ConfigMap", "istio-leader", "shop", created=created),
        build("ConfigMap", "istio-settings", "istio-system", created=created),
        build("Secret", "cacerts", "istio-system", created=created, metadata=GLOO),
        build("Secret", "cacerts", "istio-system", created=created),
        build("Secret", "istio-ca-secret", "istio-system", created=created),
        build("Secret", "istio-ca-secret", "shop", created=created),
        build("GatewayClass", "istio", created=created, spec={"controllerName": "istio.io/gateway-controller"}),
        build("GatewayClass", "shop", created=created, spec={"controllerName": "example.com/istio.io"}),
    ]


def istiod(namespace: str, revision: str) -> Json:
    return build("Pod", "istiod", namespace, {"app": "istiod", "istio.io/rev": revision}, EARLIER)


SHARED = [("istio-ca-root-cert", "shop"), ("istio", None)]
BESIDE = [("istio-leader", "istio-system"), ("cacerts", "istio-system"), ("istio-ca-secret", "istio-system")]
ALL = [SHARED[0], *BESIDE, SHARED[1]]


@pytest.mark.parametrize(
    ("istiods", "leaving", "expected"),
    [
        ([], {}, ALL),
        ([istiod("elsewhere", "gloo")], {}, BESIDE),
        ([istiod("istio-system", "other")], {}, []),
        ([istiod("istio-system", "gloo")], {}, []),
        ([istiod("istio-system", "gloo")], {"istio-system": "gloo"}, ALL),
        ([istiod("istio-system", "gloo"), istiod("elsewhere", "gloo")], {"istio-system": "gloo"}, BESIDE),
        ([istiod("istio-system", "gloo"), istiod("istio-system", "other")], {"istio-system": "gloo"}, []),
    ],
    ids=["none", "elsewhere", "beside", "ours stays", "ours goes", "ours goes, elsewhere", "ours goes, beside"],
)
def test_istiods_notes_go_and_nothing_that_another_istiod_needs(
    istiods: list[Json], leaving: dict[str, str], expected: list[tuple[str, str | None]]
) -> None:
    left = leftovers.istio_leftovers([*left_by_istiod(), *istiods], [OPERATOR], "istio-system", leaving)
    assert places(left) == expected


def test_what_an_earlier_istiod_left_is_not_ours() -> None:
    assert leftovers.istio_leftovers(left_by_istiod(EARLIER), [OPERATOR], "istio-system") == []


PLATFORM = NotedRelease("gloo-platform", "gloo-mesh", NOTED, purpose="server")


@pytest.mark.parametrize(
    ("secret", "goes"),
    [
        (build("Secret", "relay-client-tls-secret", "gloo-mesh"), True),
        (build("Secret", "relay-root-tls-secret", "gloo-mesh"), True),
        (build("Secret", "relay-root-tls-secret", "gloo-mesh", created=EARLIER), False),
        (build("Secret", "relay-root-tls-secret", "shop"), False),
        (build("Secret", "root-trust-root-ca", "gloo-mesh"), True),
        (build("Secret", "other-root-ca", "gloo-mesh"), False),
        (build("Secret", "other-root-ca", "gloo-mesh", type="certificates.mesh.gloo.solo.io/generated_root"), True),
        (build("Secret", "licence", "gloo-mesh"), False),
        (build("ConfigMap", "relay-client-tls-secret", "gloo-mesh"), False),
    ],
    ids=["client", "root", "older", "elsewhere", "policy's root", "other root", "issued root", "licence", "no Secret"],
)
def test_secrets_of_the_relay_go_with_the_release_that_made_them(secret: Json, goes: bool) -> None:
    assert bool(leftovers.relay_secrets([secret], [PLATFORM], ["root-trust"])) is goes
    assert leftovers.relay_secrets([secret], [THEIRS], ["root-trust"]) == []


def gateway_class(name: str, controller: str, created: str = LATER, manager: str = "") -> Json:
    return build("GatewayClass", name, created=created, manager=manager, spec={"controllerName": controller})


def proxy(name: str, of_class: str, owner: str = "Gateway", created: str = LATER) -> Json:
    labels = {"gateway.networking.k8s.io/gateway-class-name": of_class}
    owners = [{"kind": owner, "name": f"gateway-of-{name}"}]
    return build("Deployment", name, "n", labels, created, metadata={"ownerReferences": owners})


def gateway(of_class: str) -> Json:
    return adopted("Gateway", "http", "n", spec={"gatewayClassName": of_class})


OSS = "kgateway.dev/kgateway"
VENDOR = "solo.io/gloo-gateway-v2"
OUR_CLASS = [gateway_class("gloo", VENDOR), proxy("ours", "gloo")]
THEIR_CLASS = [gateway_class("kgateway", OSS), proxy("theirs", "kgateway")]
EARLIER_CLASS = [
    gateway_class("kgateway", OSS, EARLIER),
    proxy("old", "kgateway", created=EARLIER),
    proxy("new", "kgateway"),
]


@pytest.mark.parametrize(
    ("objects", "class_name", "expected"),
    [
        (OUR_CLASS, "gloo", ["ours", "gloo"]),
        (OUR_CLASS, "", ["ours", "gloo"]),
        ([*OUR_CLASS, gateway_class("waypoint", VENDOR)], "gloo", ["ours", "gloo", "waypoint"]),
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
    objects: list[Json], class_name: str, expected: list[str]
) -> None:
    found = [*objects, *([gateway(class_name)] if class_name else [])]
    assert names(leftovers.controller_leftovers(found, [OPERATOR], [])) == expected
    assert leftovers.controller_leftovers(found, [THEIRS], []) == []


CONTROLLER = NotedRelease("kgateway", "edge", NOTED, purpose="controller", deployment=("edge", "kgateway"))


@pytest.mark.parametrize(
    ("secret", "others", "goes"),
    [
        (build("Secret", "oauth2-hmac-secret", "edge"), [], True),
        (build("Secret", "oauth2-hmac-secret", "edge", created=EARLIER), [], False),
        (build("Secret", "oauth2-hmac-secret", "shop"), [], False),
        (build("Secret", "licence", "edge"), [], False),
        (build("Secret", "oauth2-hmac-secret", "edge"), [build("Deployment", "kgateway", "edge")], True),
        (build("Secret", "oauth2-hmac-secret", "edge"), [build("Deployment", "shop", "edge")], True),
        (build("Secret", "oauth2-hmac-secret", "edge"), [build("Deployment", "gloo-gateway", "edge")], False),
        (build("Secret", "oauth2-hmac-secret", "edge"), [build("Deployment", "gloo-gateway", "shop")], True),
    ],
    ids=["ours", "older", "elsewhere", "another", "its own", "no controller", "one more beside it", "one elsewhere"],
)
def test_the_secret_of_a_controller_goes_with_it(secret: Json, others: list[Json], goes: bool) -> None:
    found = [secret, *others]
    assert (secret in leftovers.controller_leftovers(found, [CONTROLLER], [])) is goes
    assert leftovers.controller_leftovers(found, [replace(CONTROLLER, ours=False)], []) == []


@pytest.mark.parametrize("kind", ["HorizontalPodAutoscaler", "PodDisruptionBudget"])
def test_what_overlays_added_to_a_proxy_goes_with_it(kind: str) -> None:
    added = {**proxy("ours", "gloo"), "kind": kind}
    theirs = {**proxy("hand-made", "gloo", owner="Team"), "kind": kind}
    found = leftovers.controller_leftovers([*OUR_CLASS, added, theirs, gateway("gloo")], [OPERATOR], [])
    assert added in found and theirs not in found


@pytest.mark.parametrize(
    ("other", "goes"),
    [
        (gateway_class("agentgateway", "kgateway.dev/agentgateway", manager="kgateway"), True),
        (gateway_class("agentgateway", "kgateway.dev/agentgateway", manager="someone"), False),
        (gateway_class("agentgateway", "kgateway.dev/agentgateway", EARLIER, manager="kgateway"), False),
        (gateway_class("shop", "example.com/shop", manager="kgateway"), False),
    ],
    ids=["same program", "another program", "older", "another product"],
)
def test_a_controller_that_serves_several_names_leaves_no_class(other: Json, goes: bool) -> None:
    ours_too = gateway_class("kgateway", OSS, manager="kgateway")
    left = leftovers.controller_leftovers([ours_too, other, gateway("kgateway")], [OPERATOR], [])
    assert (other in left) is goes and ours_too in left


def test_the_proxy_of_a_gateway_that_goes_goes_with_it() -> None:
    mine = ours("Gateway", "gateway-of-ours", "n", spec={"gatewayClassName": "gloo"})
    going = [Ref("gateway.networking.k8s.io/v1", "Gateway", "n", "gateway-of-ours")]
    found: list[dict[str, Any]] = [*OUR_CLASS, mine]
    assert names(leftovers.controller_leftovers(found, [OPERATOR], going)) == ["gloo"]
