"""The controllers of a cluster: which Pod acts, its line and environment, licence and classes."""

from __future__ import annotations

from typing import Any

import pytest

from lab.vendor.gloo_gateway.controllers import (
    NOBODY,
    class_status,
    controller,
    controller_pod,
    environment,
    has_licence,
    new_classes,
    serving,
)
from lab.vendor.gloo_gateway.lines import LINES
from lab.vendor.gloo_gateway.products import PRODUCTS

GLOO_GATEWAY, ENTERPRISE, OPEN_SOURCE = PRODUCTS
LABELS = {"kgateway": "kgateway"}


def a_pod(made: Any, name: str = "pod", image: str = "registry.example/kgateway:1", **more: Any) -> Any:
    container = {"name": "c", "image": image, "env": [{"name": "KGW_X", "value": more.pop("value", "1")}]}
    return made.pod(name, LABELS, "gloo-system", sidecar=False, containers=[container], **more)


def a_deployment(made: Any, chart: str, image: str = "registry.example/kgateway:1", **env: str) -> Any:
    container = {"name": "c", "image": image, "env": [{"name": name, "value": value} for name, value in env.items()]}
    spec = {"selector": {"matchLabels": LABELS}, "template": {"spec": {"containers": [container]}}}
    return made.obj("Deployment", "d", "gloo-system", {"helm.sh/chart": chart} if chart else {}, spec=spec)


def test_the_newest_ready_controller_pod_sets_the_switches(made: Any) -> Any:
    old, new = a_pod(made, "old", value="1", ready=True), a_pod(made, "new", value="2", ready=False)
    new["metadata"]["creationTimestamp"] = "2026-01-02T00:00:00Z"
    assert environment(controller_pod(made.Cluster("c", old, new), OPEN_SOURCE) or {}) == {"KGW_X": "1"}
    new["status"]["conditions"][0]["status"] = "True"
    assert environment(controller_pod(made.Cluster("c", old, new), OPEN_SOURCE) or {}) == {"KGW_X": "2"}
    assert controller_pod(made.Cluster("c"), OPEN_SOURCE) is None
    assert controller_pod(made.Cluster("c", old, new), GLOO_GATEWAY) is None


@pytest.mark.parametrize(
    ("chart", "line"),
    [
        ("kgateway-v2.3.1", "2.3"),
        ("enterprise-kgateway-2.3.0-rc1", "2.3"),
        ("kgateway-v2.1.0", "2.1"),
        ("gloo-gateway-2.0.0", "2.1"),
        ("", "2.1"),
    ],
)
@pytest.mark.parametrize("image", ["registry.example/kgateway:v9.9.9", "mirror.example/a/kgateway@sha256:0123"])
def test_the_line_is_that_of_the_chart_whatever_the_image(made: Any, chart: str, line: str, image: str) -> None:
    pod = a_pod(made, image=image)
    cluster = made.Cluster("c", a_deployment(made, chart, image), pod)
    found = controller_pod(cluster, OPEN_SOURCE)
    assert found is not None
    running = controller(cluster, OPEN_SOURCE, found)
    assert running.line is LINES[line]


def test_a_gateways_controller_is_known_without_its_pod(made: Any, gateway: Any) -> None:
    [made_class, *_others] = new_classes(OPEN_SOURCE, LINES["2.3"])
    deployment = a_deployment(made, "kgateway-v2.3.0", KGW_ENABLE_ISTIO_INTEGRATION="false")
    assert serving(made.Cluster("c", made_class), gateway) is NOBODY
    found = serving(made.Cluster("c", made_class, deployment), gateway)
    assert (found.line, found.name, found.reads_service_entries) == (LINES["2.3"], "kgateway.dev/kgateway", False)
    gateway["spec"]["gatewayClassName"] = "nope"
    assert serving(made.Cluster("c", made_class, deployment), gateway) is NOBODY


@pytest.mark.parametrize(
    ("line", "switch", "reads"),
    [("2.1", "false", True), ("2.3", "false", False), ("2.3", "t", True), ("2.3", "yes", False)],
)
def test_service_entries_need_the_switch_from_2_3_on(controllers: Any, line: str, switch: str, reads: bool) -> None:
    assert controllers(line, KGW_ENABLE_ISTIO_INTEGRATION=switch).reads_service_entries is reads


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
@pytest.mark.parametrize("line", LINES.values(), ids=lambda line: line.name)
def test_the_classes_of_a_product_are_accepted(product: Any, line: Any) -> None:
    names = [each["metadata"]["name"] for each in new_classes(product, line)]
    of_product = [name for name, _controller, _text in product.classes]
    assert names == [name for name in of_product if name != "agentgateway" or line.name == "2.1"]
    for gateway_class in new_classes(product, line):
        [condition] = class_status(gateway_class, product)["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == ("Accepted", "True", "Accepted")


@pytest.mark.parametrize(
    ("entry", "data", "licensed"),
    [
        ({"value": "key"}, {}, True),
        ({"value": ""}, {}, False),
        ({"valueFrom": {"secretKeyRef": {"name": "license-key", "key": "k"}}}, {"k": "a2V5"}, True),
        ({"valueFrom": {"secretKeyRef": {"name": "license-key", "key": "k"}}}, {"k": ""}, False),
        ({"valueFrom": {"secretKeyRef": {"name": "another", "key": "k"}}}, {"k": "a2V5"}, False),
    ],
)
def test_a_licence_is_a_text_or_comes_from_a_secret(made: Any, entry: Any, data: Any, licensed: Any) -> None:
    container = {"name": "c", "image": "x", "env": [{"name": "LICENSE_KEY", **entry}]}
    pod = made.pod("p", {}, "gloo-system", sidecar=False, containers=[container])
    secret = made.obj("Secret", "license-key", "gloo-system")
    secret["data"] = data
    assert has_licence(made.Cluster("c", secret), pod) is licensed
