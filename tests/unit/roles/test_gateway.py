"""Variables of the role gateway, evaluated as Ansible does: requirements of existing layers, and pull Secrets."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

Json = dict[str, Any]
ROLE = Path(__file__).resolve().parents[3] / "roles" / "gateway"
API: Json = {"state": "absent", "mode": "auto", "install": True, "version": "", "owner": "", "problem": ""}
PRODUCT: Json = {
    "name": "gloo-gateway",
    "licensed": True,
    "installed": True,
    "integrated": False,
    "used_unchanged": True,
    "release": "edge",
    "release_namespace": "gloo-system",
    "deployment": "gloo-gateway",
    "owner": "",
    "gateway_api": API,
}


@functools.cache
def role_variables() -> tuple[DataLoader, Json]:
    init_plugin_loader([])
    loader = DataLoader()
    variables: Json = {}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    [task] = loader.load_from_file(str(ROLE / "tasks" / "requirements.yml"), trusted_as_template=True)
    return loader, {**variables, **task["vars"]}


def unmet(**product: Any) -> list[str]:
    """The requirements that are not met."""
    options = {key: product.pop(key) for key in list(product) if key not in PRODUCT}
    loader, variables = role_variables()
    facts = {**PRODUCT, **product}
    variables = {**variables, "inventory_hostname": "c1", "groups": {}, "gateway_product_facts": facts, **options}
    found = Templar(loader=loader, variables=variables).template(variables["__gateway_unmet"])
    return [" ".join(each.split()) for each in found]


@pytest.mark.parametrize(
    ("owner", "text"),
    [
        ("", "(owner: Helm release edge)"),
        ("Argo CD application edge", "(owner: Argo CD application edge)"),
        ("field manager kubectl-create", "(not managed by Helm; field manager kubectl-create)"),
        ("field managers a and b", "(not managed by Helm; field managers a and b)"),
        ("an unknown owner", "(owner: an unknown owner)"),
    ],
)
def test_a_controller_that_is_used_unchanged_needs_the_integration(owner: str, text: str) -> None:
    assert unmet(owner=owner) == [
        "c1: Deployment gloo-system/gloo-gateway: lacks settings of the Istio integration, and is used unchanged "
        f"{text}. Set KGW_ENABLE_ISTIO_AUTO_MTLS and KGW_ENABLE_ISTIO_INTEGRATION to true where it is managed"
    ]
    assert unmet(owner=owner, integrated=True) == unmet(owner=owner, used_unchanged=False) == []


@pytest.mark.parametrize(
    ("present", "install", "given", "refused"),
    [
        ("", True, "v1.4.0", False),
        ("1.4.0", True, "v1.4.0", False),
        ("1.2.1", True, "v1.10.0", False),
        ("1.10.0", True, "v1.4.0", True),
        ("1.4.0", True, "", True),
        # Existing CRDs are kept: the manifest does not count.
        ("1.10.0", False, "v1.4.0", False),
    ],
)
def test_crds_of_gateway_api_are_never_replaced_by_older_ones(
    present: str, install: bool, given: str, refused: bool
) -> None:
    notes = {"gateway.networking.k8s.io/bundle-version": given} if given else {}
    manifest: list[Json] = [{"metadata": {"name": "a"}}, {"metadata": {"name": "gateways", "annotations": notes}}]
    api = {**API, "install": install, "version": present}
    found = unmet(integrated=True, gateway_api=api, __gateway_api_manifest=manifest)
    assert len(found) == refused
    assert all(f"has Gateway API version {present}, which is newer than" in each for each in found)


def test_a_contradiction_about_gateway_api_is_a_requirement() -> None:
    assert unmet(integrated=True, gateway_api={**API, "install": False, "problem": "p"}) == ["c1: p"]


@pytest.mark.parametrize("names", [[], ["pull"], ["registry.example.com", "123", "true"]], ids=str)
def test_pull_secrets_are_given_by_name(names: list[str]) -> None:
    loader, variables = role_variables()
    templar = Templar(loader=loader, variables={**variables, "gateway_image_pull_secrets": names})
    assert templar.template(variables["__gateway_pull_secrets"]) == [{"name": name} for name in names]
