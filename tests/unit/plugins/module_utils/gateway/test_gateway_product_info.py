"""The engine of the module gateway_product_info: which product line a cluster has, and where."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from helm_records import record

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.gateway_product_info import run, secrets
from ansible_collections.multicluster.gloo.plugins.module_utils.helm.releases import Note
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Invalid

Json = dict[str, Any]

GATEWAY_API, CRDS = "gateway.networking.k8s.io/v1", "apiextensions.k8s.io/v1"
MADE_BY_US = {"labels": {"app.kubernetes.io/managed-by": "multicluster.gloo"}}
IN_ARGO = {"annotations": {"argocd.argoproj.io/tracking-id": "apis:x/y:z/w"}}
ON = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true", "KGW_ENABLE_ISTIO_INTEGRATION": "true"}
SOLO, OPEN_SOURCE = "us-docker.pkg.dev/solo-public/gloo-gateway", "cr.kgateway.dev/kgateway-dev"


class Site:
    """One cluster of the fake API server."""

    def __init__(self, fake: Any) -> None:
        self.api, self.kubeconfig = fake
        self.api.kinds[GATEWAY_API] = {"gatewayclasses": ("GatewayClass", False), "gateways": ("Gateway", True)}

    def controller(
        self,
        name: str,
        namespace: str,
        image: str,
        release: str = "",
        env: dict[str, str] | None = None,
        licence: str = "",
        **annotations: str,
    ) -> None:
        if release:
            annotations |= {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
        listed: list[Json] = [
            {"name": key, "value": value} for key, value in {"KGW_LOG_LEVEL": "i", **(env or {})}.items()
        ]
        if licence:
            source = {"secretKeyRef": {"name": licence, "key": "license-key"}}
            listed.append({"name": "LICENSE_KEY", "valueFrom": source})
        container = {"name": "controller", "image": image, "env": listed}
        body = {
            "metadata": {"name": name, "annotations": annotations},
            "spec": {"template": {"spec": {"containers": [container]}}},
        }
        self.api.write("apps/v1", "deployments", namespace, body)

    def release(
        self, name: str, namespace: str, chart: str, version: str = "2.0.1", values: Json | None = None
    ) -> None:
        stored = record(name, namespace=namespace, chart=chart, version=version, values=values)
        self.api.write("v1", "secrets", namespace, stored)

    def secret(self, namespace: str, name: str, key: str = "key") -> None:
        data = {"license-key": base64.b64encode(key.encode()).decode()}
        self.api.write("v1", "secrets", namespace, {"metadata": {"name": name}, "data": data})

    def gateway_class(self, name: str, controller: str) -> None:
        self.api.write(
            GATEWAY_API, "gatewayclasses", "", {"metadata": {"name": name}, "spec": {"controllerName": controller}}
        )

    def gateway(self, namespace: str, name: str, gateway_class: str) -> None:
        body = {"metadata": {"name": name}, "spec": {"gatewayClassName": gateway_class}}
        self.api.write(GATEWAY_API, "gateways", namespace, body)

    def crd(self, name: str, release: str = "", namespace: str = "", metadata: Json | None = None) -> None:
        notes = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace} if release else {}
        plural, _, group = name.partition(".")
        names = {"plural": plural, "kind": plural.title()}
        spec = {"group": group, "versions": [], "names": names, "scope": "Namespaced"}
        body = {"metadata": {"name": name, "annotations": notes, **(metadata or {})}, "spec": spec}
        self.api.write(CRDS, "customresourcedefinitions", "", body)

    def look(self, **options: Any) -> Json:
        params = {"kubeconfig": self.kubeconfig, "context": "fake", "cluster": "cluster1", **options}
        result = run(params, False, lambda line: None)
        assert not self.api.writes() and result["changed"] is False
        product: Json = result["product"]
        return product


@pytest.fixture
def site(fake: Any) -> Site:
    return Site(fake)


def subset(product: Json, expected: Json) -> Json:
    return {key: product[key] for key in expected}


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ("", {"name": "gloo-gateway", "namespace": "gloo-system", "gateway_class": "gloo-gateway-v2"}),
        ("gloo-gateway", {"release": "gloo-gateway", "crds_release": "gloo-gateway-crds", "licensed": False}),
        ("enterprise-kgateway", {"namespace": "kgateway-system", "license_key": ["licensing", "licenseKey"]}),
        ("kgateway", {"namespace": "kgateway-system", "license_key": [], "licensed": True, "sds_image": {}}),
    ],
)
def test_an_empty_cluster_gets_the_named_product_or_the_default(site: Site, product: str, expected: Json) -> None:
    found = site.look(product=product)
    assert subset(found, expected) == expected
    assert (found["installed"], found["used_unchanged"], found["integrated"]) == (False, False, False)
    assert found["deployment"] == found["release"] == found["name"]


def test_a_controller_is_adopted_with_its_release_and_namespace(site: Site) -> None:
    site.controller("edge-kgateway", "infra", f"{OPEN_SOURCE}/kgateway:v2.1.3", "edge", ON)
    site.release("edge", "infra", "kgateway", "v2.1.3", {"image": {"registry": OPEN_SOURCE}})
    site.crd("gatewayparameters.gateway.kgateway.dev", "edge-crds", "infra-crds")
    site.release("edge-crds", "infra-crds", "kgateway-crds")
    expected = {
        "name": "kgateway",
        "namespace": "infra",
        "release": "edge",
        "release_namespace": "infra",
        "crds_release": "edge-crds",
        "crds_namespace": "infra-crds",
        "deployment": "edge-kgateway",
        "integrated": True,
        "used_unchanged": False,
    }
    assert subset(site.look(), expected) == expected
    # The Gateway may be in another namespace than the controller.
    moved = site.look(namespace="edge-gateways")
    assert (moved["namespace"], moved["release_namespace"]) == ("edge-gateways", "infra")


def test_crds_of_another_products_release_are_not_taken_for_its_own(site: Site) -> None:
    site.crd("gatewayparameters.gateway.kgateway.dev", "gloo-gateway-crds", "gloo-system")
    site.release("gloo-gateway-crds", "gloo-system", "gloo-gateway-crds")
    found = site.look(product="kgateway")
    assert (found["crds_release"], found["crds_namespace"]) == ("kgateway-crds", "kgateway-system")


def test_a_release_without_its_deployment_is_found(site: Site) -> None:
    site.release("gw", "infra", "enterprise-kgateway", "2.3.0", {"licensing": {"secretName": "mine"}})
    found = site.look()
    assert (found["name"], found["release"], found["namespace"]) == ("enterprise-kgateway", "gw", "infra")
    assert (found["installed"], found["licensed"], found["deployment"]) == (False, True, "gw-enterprise-kgateway")


@pytest.mark.parametrize(
    ("used", "crds", "name"),
    [
        (["kgateway"], [], "kgateway"),
        (["edge", "istio"], [], "enterprise-kgateway"),
        (["agentgateway"], [], "gloo-gateway"),
        (["kgateway"], ["gatewayparameters.gateway.kgateway.dev", "gloogatewayparameters.gloo.solo.io"], "kgateway"),
        (["gloo-gateway-v2"], ["gatewayparameters.gateway.kgateway.dev"], "gloo-gateway"),  # its class is missing
        ([], [], "gloo-gateway"),  # a class that no Gateway uses may be left over
        ([], ["gatewayparameters.gateway.kgateway.dev"], "kgateway"),
        (
            [],
            [
                "gatewayparameters.gateway.kgateway.dev",
                "enterprisekgatewayparameters.enterprisekgateway.solo.io",
            ],
            "enterprise-kgateway",
        ),
        ([], ["gatewayparameters.gateway.kgateway.dev", "gloogatewayparameters.gloo.solo.io"], "gloo-gateway"),
        ([], ["gateways.gateway.networking.k8s.io"], "gloo-gateway"),
    ],
)
def test_gateways_and_crds_decide_without_a_controller(site: Site, used: list[str], crds: list[str], name: str) -> None:
    site.gateway_class("kgateway", "kgateway.dev/kgateway")
    site.gateway_class("edge", "solo.io/enterprise-kgateway")
    site.gateway_class("istio", "istio.io/gateway-controller")
    site.gateway_class("agentgateway", "kgateway.dev/agentgateway")
    for each in used:
        site.gateway("shop", f"of-{each}", each)
    for crd in crds:
        site.crd(crd)
    assert site.look()["name"] == name
    assert site.look(product="kgateway")["name"] == "kgateway"


def two_controllers(site: Site) -> None:
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0", "gloo-gateway")
    site.release("gloo-gateway", "gloo-system", "gloo-gateway")
    site.controller("kgateway", "kgateway-system", f"{OPEN_SOURCE}/kgateway:v2.1.3", "kgateway")
    site.release("kgateway", "kgateway-system", "kgateway")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"product": "kgateway"}, "kgateway"),
        ({"namespace": "gloo-system"}, "gloo-gateway"),
        ({"release": "kgateway"}, "kgateway"),
    ],
)
def test_one_of_several_controllers_is_chosen_by_the_variables(site: Site, options: Json, name: str) -> None:
    two_controllers(site)
    assert site.look(**options)["name"] == name


def test_several_controllers_are_refused_with_the_variable_that_chooses(site: Site) -> None:
    two_controllers(site)
    with pytest.raises(Invalid) as caught:
        site.look(namespace="apps")
    assert "gloo-system/gloo-gateway (gloo-gateway), Deployment kgateway-system/kgateway (kgateway)" in str(
        caught.value
    )
    assert "gateway_product" in str(caught.value)


def test_the_one_that_the_collection_uses_already_is_chosen(site: Site) -> None:
    two_controllers(site)
    site.api.write("v1", "configmaps", "kgateway-system", Note("kgateway", "kgateway-system").to_object())
    assert site.look()["name"] == "kgateway"


def test_no_release_is_not_the_name_of_one_without_helm(site: Site) -> None:
    """The options of the role are empty texts."""
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.1", "gloo-gateway", ON)
    site.release("gloo-gateway", "gloo-system", "gloo-gateway")
    argo = {"argocd.argoproj.io/tracking-id": "edge:apps/Deployment:kgateway-system/kgateway"}
    site.controller("kgateway", "kgateway-system", f"{OPEN_SOURCE}/kgateway:v2.1.3", env=ON, **argo)
    empty = {"product": "", "namespace": "", "release": ""}
    with pytest.raises(Invalid, match="several gateway controllers"):
        site.look(**empty)
    site.api.write("v1", "configmaps", "gloo-system", Note("gloo-gateway", "gloo-system").to_object())
    assert site.look(**empty)["name"] == "gloo-gateway"


def test_controllers_of_other_products_are_not_used(site: Site) -> None:
    site.controller("gloo", "gloo-v1", "quay.io/solo-io/gloo-ee:1.20.0")
    site.controller("enterprise-agentgateway", "agents", "r/enterprise-agentgateway-controller:2.3.0")
    assert subset(site.look(), {"name": "", "installed": ""}) == {"name": "gloo-gateway", "installed": False}


@pytest.mark.parametrize(
    ("annotations", "owner"),
    [
        (
            {"argocd.argoproj.io/tracking-id": "edge:apps/Deployment:gloo-system/gloo-gateway"},
            "Argo CD application edge",
        ),
        ({}, "field manager "),
    ],
)
@pytest.mark.parametrize("env", [ON, {}], ids=["integrated", "not integrated"])
def test_a_controller_without_a_release_is_used_unchanged(
    site: Site, annotations: dict[str, str], owner: str, env: dict[str, str]
) -> None:
    image = f"{SOLO}/gloo-gateway-controller:2.0.0"
    site.controller("gloo-gateway", "gloo-system", image, env=env, **annotations)
    found = site.look()
    assert (found["used_unchanged"], found["integrated"]) == (True, bool(env))
    assert found["owner"].startswith(owner)


@pytest.mark.parametrize("release", ["", "gloo-gateway"])
@pytest.mark.parametrize(
    ("layer", "used_unchanged"), [("use", (True, True)), ("manage", (False, False)), ("auto", (True, False))]
)
def test_the_layer_decides_whether_it_is_changed(
    site: Site, release: str, layer: str, used_unchanged: tuple[bool, bool]
) -> None:
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0", release)
    site.release("gloo-gateway", "gloo-system", "gloo-gateway")
    assert site.look(layer=layer)["used_unchanged"] is used_unchanged[bool(release)]


@pytest.mark.parametrize("ours", [True, False])
def test_a_release_that_argo_cd_took_over_is_used_unchanged(site: Site, ours: bool) -> None:
    argo = {"argocd.argoproj.io/tracking-id": "edge:apps/Deployment:gloo-system/gloo-gateway"}
    image = f"{SOLO}/gloo-gateway-controller:2.0.0"
    site.controller("gloo-gateway", "gloo-system", image, "gloo-gateway", {}, "licence", **argo)
    site.release("gloo-gateway", "gloo-system", "gloo-gateway")
    if ours:
        site.api.write("v1", "configmaps", "gloo-system", Note("gloo-gateway", "gloo-system").to_object())
    expected = {"used_unchanged": True, "crds_used_unchanged": True, "owner": "Argo CD application edge"}
    assert subset(site.look(), expected) == expected


@pytest.mark.parametrize("chart", ["", "gloo-gateway", "company-platform"])
def test_a_controller_with_a_name_and_an_image_of_its_own_gets_no_second_one(site: Site, chart: str) -> None:
    site.controller("edge", "infra", "mirror.example/edge:1", "edge" if chart else "", ON)
    if chart:
        site.release("edge", "infra", chart)
    if chart != "gloo-gateway":
        assert site.look()["installed"] is False
        site.gateway_class("gloo-gateway-v2", "solo.io/gloo-gateway-v2")
    expected = {
        "name": "gloo-gateway",
        "installed": True,
        "integrated": True,
        "deployment": "edge",
        "namespace": "infra",
    }
    assert subset(site.look(), expected) == expected
    assert site.look()["used_unchanged"] is (chart != "gloo-gateway")


def test_a_controller_of_agentgateway_is_not_used_for_a_class_that_is_left_over(site: Site) -> None:
    site.controller("agentgateway", "agents", "mirror.example/agentgateway-controller:2.2.0")
    site.gateway_class("kgateway", "kgateway.dev/kgateway")
    assert site.look()["installed"] is False


def test_settings_that_are_not_readable_are_accepted(site: Site) -> None:
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0")
    found = site.api.get("apps/v1", "deployments", "gloo-system", "gloo-gateway")
    found["spec"]["template"]["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    site.api.write("apps/v1", "deployments", "gloo-system", found)
    assert site.look()["integrated"] is True


def test_a_controller_in_a_release_of_another_chart_is_used_unchanged(site: Site) -> None:
    site.controller("kgateway", "infra", f"{OPEN_SOURCE}/kgateway:v2.1.3", "platform", ON)
    site.release("platform", "infra", "company-platform")
    found = site.look()
    expected = {
        "name": "kgateway",
        "used_unchanged": True,
        "crds_used_unchanged": True,
        "owner": "Helm release infra/platform",
    }
    assert subset(found, expected) == expected


@pytest.mark.parametrize(
    ("deployed", "crds", "used_unchanged"),
    [
        (True, "gloo-gateway-crds", False),
        (True, "company-crds", True),
        (True, "", True),
        (False, "company-crds", False),
    ],
)
def test_crds_of_an_existing_controller_are_managed_with_their_release_only(
    site: Site, deployed: bool, crds: str, used_unchanged: bool
) -> None:
    if deployed:
        site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0", "gloo-gateway", ON)
        site.release("gloo-gateway", "gloo-system", "gloo-gateway")
    site.crd("gatewayparameters.gateway.kgateway.dev", "crds" if crds else "", "gloo-system")
    if crds:
        site.release("crds", "gloo-system", crds)
    found = site.look()
    assert found["crds_used_unchanged"] is used_unchanged
    assert found["crds_release"] == ("crds" if deployed and not used_unchanged else f"{found['name']}-crds")


def test_a_helm_annotation_without_readable_records_counts_as_no_release(site: Site) -> None:
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0", "gloo-gateway", ON)
    assert site.look()["used_unchanged"] is True


@pytest.mark.parametrize(
    ("values", "key", "licensed"),
    [
        ({"licensing": {"glooGatewayLicenseKey": "theirs"}}, None, True),
        ({}, "theirs", True),
        ({}, "", False),
        ({}, None, False),
    ],
    ids=["in the values", "in the Secret", "empty Secret", "no Secret"],
)
def test_an_existing_licence_is_enough(site: Site, values: Json, key: str | None, licensed: bool) -> None:
    image = f"{SOLO}/gloo-gateway-controller:2.0.0"
    site.controller("gloo-gateway", "gloo-system", image, "gloo-gateway", licence="license-key")
    site.release("gloo-gateway", "gloo-system", "gloo-gateway", values=values)
    if key is not None:
        site.secret("gloo-system", "license-key", key)
    found = site.look()
    assert found["licensed"] is licensed
    assert "theirs" not in str(found)


def test_a_licence_in_the_users_values_counts_and_is_secret(site: Site) -> None:
    values = {"licensing": {"glooGatewayLicenseKey": "mine"}}
    assert site.look(values=values)["licensed"] is True
    assert secrets({"values": values}) == {"mine"}


def test_the_secret_of_the_variable_must_exist_and_be_usable(site: Site) -> None:
    with pytest.raises(Invalid, match="Secret kgateway-system/licence: does not exist"):
        site.look(product="enterprise-kgateway", license_secret="licence")
    with pytest.raises(Invalid, match="chart of gloo-gateway has no value for it"):
        site.look(product="gloo-gateway", license_secret="licence")
    site.secret("kgateway-system", "licence")
    assert site.look(product="enterprise-kgateway", license_secret="licence")["license_secret"]
    assert site.look(product="kgateway", license_secret="licence")["licensed"] is True


@pytest.mark.parametrize(
    ("env", "values", "given", "tag"),
    [
        ({"KGW_DEFAULT_IMAGE_REGISTRY": SOLO, "KGW_DEFAULT_IMAGE_TAG": "2.0.1"}, {}, {}, "v2.1.3"),
        ({}, {}, {}, "v2.1.3"),
        ({"KGW_DEFAULT_IMAGE_REGISTRY": "registry.example/gw"}, {}, {}, ""),
        ({}, {"image": {"registry": "registry.example/gw"}}, {}, ""),
        ({"KGW_DEFAULT_IMAGE_REGISTRY": SOLO}, {}, {"image": {"registry": "registry.example/gw"}}, ""),
    ],
    ids=["vendor's registry", "unknown", "running in a mirror", "values with a mirror", "mirror from now on"],
)
def test_sds_follows_the_registry_of_the_controller(
    site: Site, env: dict[str, str], values: Json, given: Json, tag: str
) -> None:
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0", "gloo-gateway", env)
    site.release("gloo-gateway", "gloo-system", "gloo-gateway", values=values)
    assert site.look(values=given)["sds_image"].get("tag", "") == tag


PARAMETERS = {"gateway.kgateway.dev/v1alpha1": "gatewayparameters", "gloo.solo.io/v1alpha1": "gloogatewayparameters"}


@pytest.mark.parametrize(
    ("place", "owner", "set_by_us"),
    [
        (("gateway.kgateway.dev/v1alpha1", "gloo-system", "mine"), ("kubectl", "Update"), False),
        (("gloo.solo.io/v1alpha1", "gloo-system", "mine"), ("kubectl", "Update"), False),
        # What this collection set before is set again.
        (("gateway.kgateway.dev/v1alpha1", "gloo-system", "mine"), ("multicluster.gloo", "Apply"), True),
        (("gateway.kgateway.dev/v1alpha1", "gloo-system", "another"), ("kubectl", "Update"), True),
        (("gateway.kgateway.dev/v1alpha1", "shared", "of-the-class"), ("kubectl", "Update"), False),
    ],
)
def test_an_image_that_others_set_is_kept(
    site: Site, place: tuple[str, str, str], owner: tuple[str, str], set_by_us: bool
) -> None:
    api_version, namespace, name = place
    site.api.kinds["gateway.kgateway.dev/v1alpha1"] = {"gatewayparameters": ("GatewayParameters", True)}
    site.api.kinds["gloo.solo.io/v1alpha1"] = {"gloogatewayparameters": ("GlooGatewayParameters", True)}
    reference = {"group": "gateway.kgateway.dev", "kind": "GatewayParameters", "namespace": "shared"}
    spec = {"controllerName": "solo.io/gloo-gateway-v2", "parametersRef": {**reference, "name": "of-the-class"}}
    site.api.write(GATEWAY_API, "gatewayclasses", "", {"metadata": {"name": "gloo-gateway-v2"}, "spec": spec})
    fields: Json = {"f:spec": {"f:kube": {"f:sdsContainer": {"f:image": {"f:registry": {}}}}}}
    entry = {"manager": owner[0], "operation": owner[1], "fieldsType": "FieldsV1", "fieldsV1": fields}
    body = {
        "metadata": {"name": name, "managedFields": [entry]},
        "spec": {"kube": {"sdsContainer": {"image": {"registry": "registry.example"}}}},
    }
    site.api.write(api_version, PARAMETERS[api_version], namespace, body)
    assert bool(site.look(parameters_name="mine")["sds_image"]) is set_by_us


def test_a_cluster_that_cannot_be_read_gives_the_named_product_without_strict(site: Site, tmp_path: Any) -> None:
    missing = {"kubeconfig": str(tmp_path / "none"), "product": "kgateway"}
    with pytest.raises(ClusterError):
        site.look(**missing)
    assert site.look(**missing, strict=False)["namespace"] == "kgateway-system"


def test_few_requests_are_made(site: Site) -> None:
    two_controllers(site)
    site.look(product="kgateway")
    assert len(site.api.log) <= 8


NO_IMAGE, RESTARTED = "image sds: set sdsContainer.image", "whose Pods are restarted. Unless that is intended"
MTLS = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true"}


@pytest.mark.parametrize(
    ("env", "gateway_class", "gateway", "options", "warning"),
    [
        ({}, "gloo-gateway-v2", "shop/shop", {}, NO_IMAGE),
        ({}, "own", "shop/shop", {}, NO_IMAGE),
        ({"KGW_DEFAULT_IMAGE_REGISTRY": "registry.example"}, "gloo-gateway-v2", "shop/shop", {}, RESTARTED),
        # Ours, by name and namespace.
        ({}, "gloo-gateway-v2", "gloo-system/http", {}, ""),
        ({}, "gloo-gateway-v2", "shop/http", {}, NO_IMAGE),
        ({}, "gloo-gateway-v2", "shop/http", {"gateway_namespaces": ["shop"]}, ""),
        ({}, "gloo-gateway-v2", "gloo-system/http", {"gateway_namespaces": [""]}, ""),
        ({}, "gloo-gateway-v2", "gloo-system/http", {"gateway_namespaces": ["shop"]}, NO_IMAGE),
        # Proxies that do not change.
        ({}, "istio", "shop/shop", {}, ""),
        (ON, "gloo-gateway-v2", "shop/shop", {}, ""),
        (MTLS, "gloo-gateway-v2", "shop/shop", {}, ""),
        ({}, "gloo-gateway-v2", "shop/shop", {"layer": "use"}, ""),
    ],
)
def test_other_gateways_that_restart_are_named(
    site: Site, env: dict[str, str], gateway_class: str, gateway: str, options: Json, warning: str
) -> None:
    site.controller("gloo-gateway", "gloo-system", f"{SOLO}/gloo-gateway-controller:2.0.0", "gloo-gateway", env)
    site.release("gloo-gateway", "gloo-system", "gloo-gateway")
    for name in ("gloo-gateway-v2", "own"):
        site.gateway_class(name, "solo.io/gloo-gateway-v2")
    site.gateway_class("istio", "istio.io/gateway-controller")
    namespace, _slash, name = gateway.partition("/")
    site.gateway(namespace, name, gateway_class)
    params = {"kubeconfig": site.kubeconfig, "context": "fake", "cluster": "cluster1", "gateways": ["http"], **options}
    found = run(params, False, lambda line: None).get("warnings", [])
    assert len(found) == bool(warning)
    for text in found:
        assert text.startswith("cluster1: Deployment gloo-system/gloo-gateway: the Istio integration also adds")
        assert f"Gateway {gateway}" in text and warning in text


@pytest.mark.parametrize(
    ("metadata", "mode", "expected"),
    [
        (None, "auto", ("absent", True, "")),
        (None, "manage", ("absent", True, "")),
        (None, "use", ("absent", False, "does not exist, but gateway_layers.gateway_api is use")),
        ({}, "auto", ("external", False, "")),
        ({}, "use", ("external", False, "")),
        ({}, "manage", ("external", True, "")),
        (MADE_BY_US, "auto", ("ours", False, "")),
        (MADE_BY_US, "manage", ("ours", True, "")),
        (IN_ARGO, "auto", ("external", False, "")),
        (IN_ARGO, "manage", ("external", False, "belongs to Argo CD application apis, so it cannot be changed here")),
    ],
)
def test_existing_crds_of_gateway_api_are_written_only_on_request(
    site: Site, metadata: Json | None, mode: str, expected: tuple[str, bool, str]
) -> None:
    if metadata is not None:
        site.crd("gateways.gateway.networking.k8s.io", metadata=metadata)
    found = site.look(gateway_api_layer=mode)["gateway_api"]
    state, install, problem = expected
    assert (found["state"], found["mode"], found["install"]) == (state, mode, install)
    assert problem in found["problem"] and bool(found["problem"]) is bool(problem)
    assert bool(found["owner"]) is (metadata is not None)


@pytest.mark.parametrize(
    ("bundle", "version"), [("v1.4.0", "1.4.0"), ("v1.5.0-rc.1", "1.5.0-rc.1"), ("1.4", "1.4"), ("main", ""), ("", "")]
)
def test_a_version_of_gateway_api_that_is_no_number_is_unknown(site: Site, bundle: str, version: str) -> None:
    notes = {"annotations": {"gateway.networking.k8s.io/bundle-version": bundle}}
    site.crd("gateways.gateway.networking.k8s.io", metadata=notes)
    assert site.look()["gateway_api"]["version"] == version


@pytest.mark.parametrize(("option", "variable"), [("layer", "controller"), ("gateway_api_layer", "gateway_api")])
def test_an_unknown_mode_is_refused_with_the_variable(site: Site, option: str, variable: str) -> None:
    with pytest.raises(Invalid, match=rf"^cluster1: gateway_layers\.{variable} is 'ours'\. Set auto, use or manage$"):
        site.look(strict=False, **{option: "ours"})
    assert site.api.log == []


def test_an_unknown_product_is_refused_with_the_field(site: Site) -> None:
    for strict in (True, False):
        with pytest.raises(Invalid, match=r"cluster1: gateway_product is 'kong'.* one of gloo-gateway, .*, kgateway"):
            site.look(product="kong", strict=strict)
    assert site.api.log == []


@pytest.mark.parametrize(
    ("options", "limit"),
    [
        ({}, 53),  # Gloo Gateway 2.0 is kgateway 2.1
        ({"product": "kgateway"}, 253),
        ({"product": "kgateway", "chart_version": "v2.1.3"}, 53),
        ({"product": "kgateway", "chart_version": "v2.2.0"}, 53),
        ({"product": "kgateway", "chart_ref": "oci://mirror/kgateway"}, 253),
        ({"product": "kgateway", "chart_ref": "oci://mirror/kgateway", "chart_version": "2.2.0"}, 53),
        ({"product": "kgateway", "chart_ref": "oci://mirror/kgateway", "chart_version": "main"}, 253),
        ({"product": "enterprise-kgateway"}, 253),
    ],
)
def test_the_longest_name_of_a_gateway_depends_on_the_version(site: Site, options: Json, limit: int) -> None:
    assert site.look(**options)["gateway_name_limit"] == limit
