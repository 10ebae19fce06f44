"""The table of product lines, and what follows from a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import (
    BY_CONTROLLER,
    ENTERPRISE_KGATEWAY,
    GLOO_GATEWAY,
    GLOO_GATEWAY_V1,
    KGATEWAY,
    KNOWN,
    OPEN_SOURCE_REGISTRY,
    PRODUCTS,
    Product,
    product_of,
)

Json = dict[str, Any]


def deployment(name: str, image: str = "r/app:1", **labels: str) -> Json:
    containers = [{"name": "c", "image": image, "env": [{"name": "KGW_LOG_LEVEL", "value": "info"}]}]
    return {
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "team", "labels": labels},
        "spec": {"template": {"spec": {"containers": containers}}},
    }


@pytest.mark.parametrize("product", PRODUCTS, ids=lambda product: product.name)
def test_a_row_is_complete(product: Product) -> None:
    assert product.charts.startswith("oci://") and product.version.lstrip("v")[0].isdigit()
    assert product.gateway_class == product.controllers[0].split("/")[1]
    assert BY_CONTROLLER[product.controllers[0]] is product
    # The last kind tells the product from the others by its CRDs, except for the open-source kind that all have.
    others = {kind for each in PRODUCTS if each is not product for kind in each.parameters}
    assert product.parameters[-1] not in others or product is KGATEWAY
    assert bool(product.license_key) is (product is not KGATEWAY)
    assert not product.license_secret or product.license_key[:1] == product.license_secret[:1]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("kgateway", {}, "kgateway"),
        ("edge", {}, "edge-kgateway"),
        ("my-kgateway-2", {}, "my-kgateway-2"),
        ("kgateway", {"nameOverride": "gw"}, "kgateway-gw"),
        ("edge", {"nameOverride": "ed"}, "edge"),
        ("edge", {"fullnameOverride": "gw", "nameOverride": "x"}, "gw"),
        ("e" * 54, {}, "e" * 54 + "-kgateway"),
        ("e" * 53, {"nameOverride": "n" * 20}, "e" * 53 + "-" + "n" * 9),
    ],
)
def test_the_deployment_has_the_full_name_of_the_chart(release: str, values: Json, name: str) -> None:
    assert KGATEWAY.deployment(release, values) == name


@pytest.mark.parametrize(
    ("found", "product"),
    [
        (deployment("gloo-gateway"), GLOO_GATEWAY),
        (deployment("x", "mirror.example:5000/a/gloo-gateway-controller@sha256:abc"), GLOO_GATEWAY),
        (deployment("edge-kgateway", **{"app.kubernetes.io/name": "kgateway"}), KGATEWAY),
        (deployment("edge", "cr.kgateway.dev/kgateway-dev/kgateway:v2.1.3"), KGATEWAY),
        # A vendor's product whose name was overridden with the open-source one
        (
            deployment("kgateway", "r/enterprise-kgateway-controller:2.3.0", **{"app.kubernetes.io/name": "kgateway"}),
            ENTERPRISE_KGATEWAY,
        ),
        (deployment("gateway", gloo="gloo"), GLOO_GATEWAY_V1),
        (deployment("enterprise-agentgateway", "r/enterprise-agentgateway-controller:1"), None),
        (deployment("shop"), None),
        ({"kind": "Deployment", "metadata": {}}, None),
    ],
)
def test_a_controller_is_recognised_by_image_labels_or_name(found: Json, product: Product | None) -> None:
    assert product_of(found) is product


@pytest.mark.parametrize(
    ("product", "registry", "tag", "image"),
    [
        (GLOO_GATEWAY, GLOO_GATEWAY.registry, "2.0.1", "v2.1.3"),
        (GLOO_GATEWAY, GLOO_GATEWAY.registry + "/", "2.0.0-rc.2", "v2.1.3"),
        (ENTERPRISE_KGATEWAY, ENTERPRISE_KGATEWAY.registry, "2.1.0", "v2.1.3"),
        (ENTERPRISE_KGATEWAY, ENTERPRISE_KGATEWAY.registry, "v2.3.3", "v2.3.7"),
        (ENTERPRISE_KGATEWAY, ENTERPRISE_KGATEWAY.registry, "2.9.1", "v2.9.0"),
        # A tag without a version: the default version of the product.
        (GLOO_GATEWAY, GLOO_GATEWAY.registry, "main", "v2.1.3"),
        (GLOO_GATEWAY, "registry.example/mirror", "2.0.1", ""),
        (GLOO_GATEWAY, OPEN_SOURCE_REGISTRY, "2.0.1", ""),
        (KGATEWAY, KGATEWAY.registry, "v2.1.3", ""),
        (KGATEWAY, "registry.example/mirror", "v2.1.3", ""),
    ],
)
def test_sds_is_set_only_where_the_products_own_registry_lacks_it(
    product: Product, registry: str, tag: str, image: str
) -> None:
    expected = {"registry": OPEN_SOURCE_REGISTRY, "repository": "sds", "tag": image} if image else {}
    assert product.sds_image(registry, tag) == expected


@given(tag=st.text(max_size=12))
def test_any_tag_gives_a_released_one(tag: str) -> None:
    image = GLOO_GATEWAY.sds_image(GLOO_GATEWAY.registry, tag)
    assert image["tag"].startswith("v") and image["tag"].count(".") == 2


@pytest.mark.parametrize(
    ("product", "values", "licensed"),
    [
        (GLOO_GATEWAY, {"licensing": {"glooGatewayLicenseKey": "key"}}, True),
        (GLOO_GATEWAY, {"licensing": {"glooGatewayLicenseKey": ""}}, False),
        (GLOO_GATEWAY, {"licensing": {"licenseKey": "key"}}, False),
        (GLOO_GATEWAY, {"licensing": None}, False),
        (ENTERPRISE_KGATEWAY, {"licensing": {"licenseKey": "key"}}, True),
        (ENTERPRISE_KGATEWAY, {"licensing": {"secretName": "mine"}}, True),
        (ENTERPRISE_KGATEWAY, {}, False),
        (KGATEWAY, {"licensing": {"licenseKey": "key"}}, False),
    ],
)
def test_the_licence_is_found_in_the_values(product: Product, values: Json, licensed: bool) -> None:
    assert product.has_license(values) is licensed


def test_the_role_documents_the_product_lines() -> None:
    role = Path(__file__).resolve().parents[5] / "roles" / "gateway"
    specs = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    assert specs["main"]["options"]["gateway_product"]["choices"] == ["", *(product.name for product in PRODUCTS)]
    table = (role / "README.md").read_text()
    rows = [line for line in table.splitlines() if any(line.startswith(f"| `{each.name}` |") for each in PRODUCTS)]
    for product, row in zip(PRODUCTS, rows, strict=True):
        assert all(f"`{text}`" in row for text in (product.name, product.namespace, product.gateway_class))


def test_a_controller_name_belongs_to_one_product() -> None:
    assert len(BY_CONTROLLER) == len(KNOWN)
