"""Variables of the role gateway, evaluated as Ansible does: requirements of existing layers, and pull Secrets."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.preflight_check import Given, problems

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
    "gateway_name_limit": 253,
}


REQUIRED: Json = {
    "gateway_name": "http",
    "gateway_parameters_name": "params",
    "gateway_listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}],
}


@pytest.fixture(autouse=True, scope="module")
def ansible_imports_the_collection() -> Iterator[None]:
    """Ansible finds the test plugins of a collection only if it has imported the collection itself."""

    def forget() -> Json:
        names = [name for name in sys.modules if name.partition(".")[0] == "ansible_collections"]
        return {name: sys.modules.pop(name) for name in names}

    imported = forget()
    init_plugin_loader([])
    yield
    forget()
    sys.modules.update(imported)


@functools.cache
def role_variables() -> tuple[DataLoader, Json]:
    loader = DataLoader()
    variables: Json = {}
    for file in ("defaults/main.yml", "vars/main.yml"):
        variables |= loader.load_from_file(str(ROLE / file), trusted_as_template=True)
    [task] = loader.load_from_file(str(ROLE / "tasks" / "requirements.yml"), trusted_as_template=True)
    return loader, variables | task["vars"]


def unmet(**product: Any) -> list[str]:
    """The requirements that are not met."""
    options = {key: product.pop(key) for key in list(product) if key not in PRODUCT}
    return evaluated("__gateway_unmet", {"gateway_product_facts": {**PRODUCT, **product}, **options})


def invalid(**options: Any) -> list[str]:
    """The values that are not valid."""
    return problems(["gateway"], Given({**REQUIRED, **options}))


def evaluated(name: str, options: Json) -> list[str]:
    loader, variables = role_variables()
    variables = {**variables, "inventory_hostname": "c1", "groups": {}, **REQUIRED, **options}
    found = Templar(loader=loader, variables=variables).template(variables[name])
    return [" ".join(each.split()) for each in found]


TRUTH: dict[str, bool] = json.loads(
    (Path(__file__).parents[1] / "plugins/module_utils/k8s/yaml_text.json").read_text(encoding="utf-8")
)


@given(st.sampled_from(sorted(TRUTH)), st.sampled_from(["gateway_istio_cluster_id", "gateway_istio_mesh_id"]))
@settings(max_examples=30, deadline=None)
def test_an_id_is_refused_exactly_where_the_controllers_reader_changes_it(text: str, option: str) -> None:
    assert (invalid(**{option: text}) == []) is (TRUTH[text] or text == "")


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("http", ""),
        ("a" * 53, ""),
        ("gateway-" + "x" * 70, ""),
        ("a" * 254, "not a valid name"),
        ("Http", "not a valid name"),
        ("a.b", "not a valid name"),
        ("http-", "not a valid name"),
        ("123", "does not read it as a string"),
        ("0x1f", "does not read it as a string"),
        ("on", "does not read it as a string"),
        ("1e3", "does not read it as a string"),
        ("123a", ""),
    ],
)
def test_names_of_gateways(name: str, refused: str) -> None:
    found = invalid(gateway_gateways=[{"name": name}])
    assert len(found) == bool(refused) and refused in "".join(found), found


def test_an_ipv6_address_of_istiod_is_refused_with_what_works() -> None:
    [found] = invalid(gateway_istio_discovery_address="[fd00::1]:15012")
    assert found.endswith("does not read an IPv6 address as a string. Set the DNS name of istiod's Service")
    assert invalid(gateway_istio_discovery_address="istiod.istio-system.svc:15012") == []


def test_a_name_that_the_controller_cannot_deploy_is_refused() -> None:
    gateways = [{"name": "a" * 53}, {"name": "b" * 54}]
    options: Json = {"integrated": True, "gateway_gateways": gateways}
    assert unmet(**options) == []
    [found] = unmet(**options, gateway_name_limit=53)
    assert f"name '{'b' * 54}'" in found and "more than 53 characters. Use a shorter name" in found


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
