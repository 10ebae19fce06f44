# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The product lines of the gateway: one row each, and what follows from a row (pure).

Sources: charts, values and CRDs that the vendor and the kgateway project publish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..helm.values import Path, value_at
from ..k8s.fields import Json, labels_of, name_of
from ..k8s.kinds import group_of
from .proxy_objects import containers
from .versions import Version, minor, shown


@dataclass(frozen=True)
class ParameterKind:
    """A kind that parametersRef may refer to. ``api_version`` is the published one; a cluster may serve another."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        return group_of(self.api_version)

    @property
    def title(self) -> str:
        return f"{self.kind} of {self.group}"


GATEWAY_PARAMETERS = ParameterKind("gateway.kgateway.dev/v1alpha1", "GatewayParameters")
GLOO_GATEWAY_PARAMETERS = ParameterKind("gloo.solo.io/v1alpha1", "GlooGatewayParameters")
ENTERPRISE_PARAMETERS = ParameterKind("enterprisekgateway.solo.io/v1alpha1", "EnterpriseKgatewayParameters")
# Gloo Gateway 1.x: same name as kgateway's, different group
V1_PARAMETERS = ParameterKind("gateway.gloo.solo.io/v1alpha1", "GatewayParameters")

#: the registry of open-source kgateway, which has every image of the proxy
OPEN_SOURCE_REGISTRY = "cr.kgateway.dev/kgateway-dev"

#: minor version of kgateway -> a patch release of it; others: 0
_PATCHES = {"2.0": 5, "2.1": 3, "2.2": 9, "2.3": 7}

_AUTH = {
    "installExtAuthCRDs": ("authconfigs.extauth.solo.io",),
    "installRateLimitCRDs": ("ratelimitconfigs.ratelimit.solo.io",),
}
_LISTENER_SETS = ("enterpriselistenersets.enterprise.solo.io",)


@dataclass(frozen=True)
class Product:
    """One product line.

    ``name``: value of gateway_product, name of the chart and of its usual release; ``<name>-crds`` of the CRDs.
    ``namespace``: where its documentation installs it. ``charts``: OCI folder of both charts, "" for one that this
    collection does not install; ``version``: their default version.
    ``controllers``: controllerNames of its GatewayClasses; the class of the first one has the same name and is used.
    ``image``: repository of the controller's image, without registry.
    ``parameters``: kinds accepted in parametersRef, preferred first; the last one belongs to this product alone.
    ``license_key``: path of the licence key in the values; ``license_secret``: path of the name of a Secret with it,
    ``license_secret_values``: what that requires besides. Empty when there is no such value.
    ``registry``: of the images of controller and proxy; ``has_sds``: whether the image sds is in it.
    ``kgateway``: its minor version -> that of the kgateway in it, where they differ.
    ``crd_switches``: switches in the values of the CRD chart -> the CRDs that each one installs.
    """

    name: str
    namespace: str
    controllers: tuple[str, ...]
    image: str
    parameters: tuple[ParameterKind, ...]
    charts: str = ""
    version: str = ""
    license_key: Path = ()
    license_secret: Path = ()
    license_secret_values: Json = field(default_factory=dict)
    registry: str = OPEN_SOURCE_REGISTRY
    has_sds: bool = True
    kgateway: Mapping[Version, Version] = field(default_factory=dict)
    crd_switches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def gateway_class(self) -> str:
        """Name of the GatewayClass that the controller creates for ingress."""
        return self.controllers[0].rpartition("/")[2]

    def deployment(self, release: str, values: Json) -> str:
        """Name of the controller's Deployment: Helm's usual rule for full names."""
        name = str(values.get("nameOverride") or self.name)
        full = release if name in release else f"{release}-{name}"
        return str(values.get("fullnameOverride") or full)[:63].removesuffix("-")

    def has_license(self, values: Json) -> bool:
        """Whether Helm values have a licence key or name a Secret with one."""
        paths = [path for path in (self.license_key, self.license_secret) if path]
        return any(str(value_at(path, values) or "").strip() for path in paths)

    def sds_image(self, registry: str, tag: str) -> Json:
        """The image of sds to set, by the controller's registry and tag of images; {} for the controller's default.

        Set only where the controller uses the product's registry and that lacks sds: with another registry, the user
        provides all images there.
        """
        if self.has_sds or registry.strip("/") != self.registry:
            return {}
        version = self.kgateway_version(tag) or self.kgateway_version(self.version)
        text = shown(version) if version else ""
        return {"registry": OPEN_SOURCE_REGISTRY, "repository": "sds", "tag": f"v{text}.{_PATCHES.get(text, 0)}"}

    def kgateway_version(self, version: str) -> Version | None:
        """The version of kgateway in a version of the product; None for a text without one."""
        found = minor(version)
        return self.kgateway.get(found, found) if found else None


GLOO_GATEWAY = Product(
    name="gloo-gateway",
    namespace="gloo-system",
    controllers=("solo.io/gloo-gateway-v2", "kgateway.dev/agentgateway"),
    image="gloo-gateway-controller",
    parameters=(GATEWAY_PARAMETERS, GLOO_GATEWAY_PARAMETERS),
    charts="oci://us-docker.pkg.dev/solo-public/gloo-gateway/charts",
    version="2.0.1",
    license_key=("licensing", "glooGatewayLicenseKey"),
    registry="us-docker.pkg.dev/solo-public/gloo-gateway",
    has_sds=False,
    kgateway={(2, 0): (2, 1)},
    crd_switches=_AUTH,
)
ENTERPRISE_KGATEWAY = Product(
    name="enterprise-kgateway",
    namespace="kgateway-system",
    controllers=("solo.io/enterprise-kgateway", "solo.io/enterprise-agentgateway"),
    image="enterprise-kgateway-controller",
    parameters=(GATEWAY_PARAMETERS, ENTERPRISE_PARAMETERS),
    charts="oci://us-docker.pkg.dev/solo-public/enterprise-kgateway/charts",
    version="2.3.3",
    license_key=("licensing", "licenseKey"),
    license_secret=("licensing", "secretName"),
    license_secret_values={"licensing": {"createSecret": False}},
    registry="us-docker.pkg.dev/solo-public/enterprise-kgateway",
    has_sds=False,  # not published: assumed to be as for Gloo Gateway
    crd_switches={
        **_AUTH,
        "installWAFPolicyCRD": ("wafpolicies.waf.solo.io",),
        "installEnterpriseGatewayCRD": _LISTENER_SETS,
        "installEnterpriseListenerSetCRD": _LISTENER_SETS,
    },
)
KGATEWAY = Product(
    name="kgateway",
    namespace="kgateway-system",
    controllers=("kgateway.dev/kgateway", "kgateway.dev/agentgateway"),
    image="kgateway",
    parameters=(GATEWAY_PARAMETERS,),
    charts="oci://cr.kgateway.dev/kgateway-dev/charts",
    version="v2.3.0",
)
# Gloo Gateway 1.x is recognised, but not installed.
GLOO_GATEWAY_V1 = Product(
    name="gloo",
    namespace="gloo-system",
    controllers=("solo.io/gloo-gateway",),
    image="gloo-ee",
    parameters=(V1_PARAMETERS,),
)

#: the default first, the vendor's before the open-source one
PRODUCTS: tuple[Product, ...] = (GLOO_GATEWAY, ENTERPRISE_KGATEWAY, KGATEWAY)
KNOWN: tuple[Product, ...] = (*PRODUCTS, GLOO_GATEWAY_V1)

#: controllerName of the classes that are used -> its product
BY_CONTROLLER: Mapping[str, Product] = {product.controllers[0]: product for product in KNOWN}


def product_of(deployment: Json) -> Product | None:
    """The product whose controller a Deployment runs, by its image, labels and name; the vendor's before others."""
    labels = labels_of(deployment)
    names = {_repository(str(each.get("image") or "")) for each in containers(deployment)}
    names |= {labels.get("app.kubernetes.io/name", ""), labels.get("gloo", ""), name_of(deployment)}
    return next((product for product in KNOWN if {product.name, product.image} & names), None)


def _repository(image: str) -> str:
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]
