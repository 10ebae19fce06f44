"""A second Gateway on the shared lab, in a separate namespace, for tests that break its proxy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from acceptance.site import Site, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import gateway_proxy_info

Json = dict[str, Any]

NAMESPACE, NAME, SETTINGS = "edge", "edge", "edge-settings"
CLASS = "gloo-gateway-v2"
CORE = f"/api/v1/namespaces/{NAMESPACE}"
GATEWAYS = f"/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/gateways"
CLASSES = "/apis/gateway.networking.k8s.io/v1/gatewayclasses"
PARAMETERS = "/apis/gateway.kgateway.dev/v1alpha1/namespaces/{}/gatewayparameters"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{NAME}"
GROUP = "gateway.kgateway.dev"
# The vendor's registry has none.
SDS = {"image": {"registry": "cr.kgateway.dev/kgateway-dev", "repository": "sds", "tag": "v2.1.3"}}
OPTIONS = {name: rule.get("default") for name, rule in gateway_proxy_info.ARGUMENT_SPEC.items()}


class Edge:
    """The Gateway edge/edge. Its settings are those of the site's own proxy until a test changes them."""

    def __init__(self, site: Site) -> None:
        self.site, self.cluster = site, site.gateway_cluster

    # -- life --------------------------------------------------------------------------------------------------------

    def create(self) -> None:
        self.site.create(self.cluster, "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        self.create_parameters(NAMESPACE, SETTINGS)
        reference = {"group": GROUP, "kind": "GatewayParameters", "name": SETTINGS}
        gateway = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": NAME},
            "spec": {
                "gatewayClassName": CLASS,
                "listeners": [{"name": "http", "protocol": "HTTP", "port": 8090}],
                "infrastructure": {"parametersRef": reference},
            },
        }
        self.site.create(self.cluster, GATEWAYS, gateway)

    def create_parameters(self, namespace: str, name: str) -> None:
        istio = {
            "istioDiscoveryAddress": "istiod-gloo.istio-system.svc:15012",
            "istioMetaClusterId": self.cluster,
            "istioMetaMeshId": "cluster.local",
        }
        # Envoy of the lab needs no time to drain.
        pod = {"terminationGracePeriodSeconds": 1, "gracefulShutdown": {"enabled": False}}
        body = {
            "apiVersion": f"{GROUP}/v1alpha1",
            "kind": "GatewayParameters",
            "metadata": {"name": name},
            "spec": {"kube": {"istio": {"istioProxyContainer": istio}, "sdsContainer": SDS, "podTemplate": pod}},
        }
        self.site.create(self.cluster, PARAMETERS.format(namespace), body)

    def delete(self) -> None:
        self.site.delete(self.cluster, CORE)
        wait_until(lambda: self.site.get(self.cluster, CORE) is None, f"the end of namespace {NAMESPACE}")

    # -- changes -----------------------------------------------------------------------------------------------------

    def patch(self, path: str, body: Json) -> Json:
        return self.site.patch(self.cluster, path, body)

    def tell(self, kube: Json) -> None:
        """Merge into spec.kube of its GatewayParameters; null takes a field away."""
        self.patch(f"{PARAMETERS.format(NAMESPACE)}/{SETTINGS}", {"spec": {"kube": kube}})

    def tell_istio(self, option: str, value: str) -> None:
        self.tell({"istio": {"istioProxyContainer": {option: value}}})

    def refer(self, **changes: str) -> None:
        """Change its parametersRef."""
        self.patch(f"{GATEWAYS}/{NAME}", {"spec": {"infrastructure": {"parametersRef": changes}}})

    def move(self, gateway_class: str) -> None:
        self.patch(f"{GATEWAYS}/{NAME}", {"spec": {"gatewayClassName": gateway_class}})

    def pods(self) -> list[Json]:
        query = f"labelSelector=gateway.networking.k8s.io/gateway-name%3D{NAME}"
        return list((self.site.get(self.cluster, f"{CORE}/pods?{query}") or {})["items"])

    def pod(self) -> Json:
        """Its one Pod; a former one may still be on its way out when the Gateway is ready."""
        wait_until(lambda: len(self.pods()) == 1, f"one Pod of Gateway {NAMESPACE}/{NAME}")
        return self.pods()[0]

    # -- the module --------------------------------------------------------------------------------------------------

    def options(self, **more: Any) -> Json:
        """Options of gateway_proxy_info for this Gateway."""
        given = {"kubeconfig": str(self.site.kubeconfig), "context": self.cluster}
        return {**given, "namespace": NAMESPACE, "gateway": NAME, **more}

    def run(self, check: bool = False, **more: Any) -> Json:
        """What the module returns. Raises ClusterError as it does."""
        return gateway_proxy_info.run({**OPTIONS, **self.options(**more)}, check, print)

    def look(self) -> Json:
        """Its record, now."""
        [record] = self.run()["proxies"]
        return dict(record)

    def until(self, condition: Callable[[Json], bool], what: str, seconds: float = 60) -> Json:
        """Look until the record is as wanted; fails the test with the record that never was."""
        end = time.monotonic() + seconds
        while not condition(record := self.look()):
            assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s: {json.dumps(record, indent=1)}"
            time.sleep(0.2)
        return record

    def at_rest(self) -> Json:
        """Its record once it is ready with one Pod of three containers, all its settings right."""

        def rests(record: Json) -> bool:
            fits = all(setting["fits"] for setting in record["settings"])
            return record["verdict"] == "ready" and fits and len(record["pods"]) == 1

        return self.until(rests, "the second Gateway at rest", 90)
