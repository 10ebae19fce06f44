"""The objects Gloo Gateway renders for a Gateway: Deployment, Service, ServiceAccount, ConfigMap.

Pure. Names, containers, env, volumes and defaults as kgateway 2.1 rendered them in recordings; the Envoy bootstrap in
the ConfigMap is shortened (the lab's Envoy gets its configuration from the data plane).
"""

from __future__ import annotations

import yaml

from lab.control_plane.objects import Object
from lab.vendor.gloo_gateway.proxy_containers import envoy, istio_proxy, istio_volumes, listener_ports, sds, volumes

PROXY_LABELS = {"kgateway": "kube-gateway"}
PROMETHEUS = {"prometheus.io/path": "/metrics", "prometheus.io/port": "9091", "prometheus.io/scrape": "true"}


# podTemplate fields that go into the Pod's spec under the same (or the given) name.
POD_FIELDS = {
    "nodeSelector": "nodeSelector",
    "affinity": "affinity",
    "tolerations": "tolerations",
    "topologySpreadConstraints": "topologySpreadConstraints",
    "imagePullSecrets": "imagePullSecrets",
    "securityContext": "securityContext",
    "terminationGracePeriodSeconds": "terminationGracePeriodSeconds",
}


def render(gateway: Object, kube: Object, env: dict[str, str]) -> list[Object]:
    """Everything but the Deployment; [] when the Gateway has no listener port, and then nothing is deployed.

    kube: merged parameters; env: the controller's environment (its image defaults and AUTO_MTLS switch).
    """
    if not listener_ports(gateway):
        return []
    return [service_account(gateway, kube), config_map(gateway, kube, env), service(gateway, kube)]


def service_account(gateway: Object, kube: Object) -> Object:
    """The proxy's ServiceAccount."""
    obj = _owned("v1", "ServiceAccount", gateway, kube.get("serviceAccount"))
    return {**obj, "automountServiceAccountToken": False}


def service(gateway: Object, kube: Object) -> Object:
    """The proxy's Service: listener ports one to one."""
    parameters = kube["service"]
    fixed = {entry["port"]: entry["nodePort"] for entry in parameters.get("ports") or [] if entry.get("nodePort")}
    listed: list[Object] = []
    for port in listener_ports(gateway):
        entry = {"name": f"listener-{port}", "port": port, "targetPort": port, "protocol": "TCP"}
        if parameters["type"] == "NodePort" and port in fixed:
            entry["nodePort"] = fixed[port]
        listed.append(entry)
    spec = {"type": parameters["type"], "ports": listed, "selector": _selector(gateway)}
    spec.update({key: parameters[key] for key in ("clusterIP", "externalTrafficPolicy") if parameters.get(key)})
    return {**_owned("v1", "Service", gateway, parameters), "spec": spec}


def config_map(gateway: Object, kube: Object, env: dict[str, str]) -> Object:
    """The Envoy bootstrap: admin address, node, statistics, controller and (with Istio) the cluster of `sds`.

    The Pod template does not depend on its content: a change of it alone restarts no Pod, as recorded.
    """
    metadata = gateway["metadata"]
    clusters = [_static("xds_cluster", env.get("KGW_XDS_SERVICE_NAME", "gloo-gateway"), 9977)]
    clusters += [_static("gateway_proxy_sds", "127.0.0.1", 8234)] if istio_enabled(env) else []
    bootstrap = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 19000}}},
        "node": {
            "cluster": f"{metadata['name']}.{metadata['namespace']}",
            "metadata": {"role": f"kgateway-kube-gateway-api~{metadata['namespace']}~{metadata['name']}"},
        },
        "static_resources": {"listeners": _stats_listeners(kube["stats"]), "clusters": clusters},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds_cluster"}}],
            },
            "cds_config": {"resource_api_version": "V3", "ads": {}},
            "lds_config": {"resource_api_version": "V3", "ads": {}},
        },
    }
    obj = _owned("v1", "ConfigMap", gateway, None)
    return {**obj, "data": {"envoy.yaml": yaml.safe_dump(bootstrap, sort_keys=False)}}


def deployment(gateway: Object, kube: Object, env: dict[str, str]) -> Object:
    """The proxy's Deployment: one container, or three when the controller's AUTO_MTLS switch is on.

    Raises RenderError for Istio values that YAML does not parse as text ("123", "true", "a: b"): the chart writes them
    unquoted, so the API server refuses the Deployment.
    """
    template, infrastructure = kube["podTemplate"], gateway["spec"].get("infrastructure") or {}
    name = gateway["metadata"]["name"]
    containers, pod_volumes = [envoy(gateway, kube, env)], volumes(name)
    if istio_enabled(env):
        containers += [sds(kube, env), istio_proxy(kube)]
        pod_volumes += istio_volumes()
    labels = {**_selector(gateway), **_class_label(gateway), **PROXY_LABELS}
    pod: Object = {
        "metadata": {
            "labels": {**(infrastructure.get("labels") or {}), **(template.get("extraLabels") or {}), **labels},
            "annotations": {
                **(PROMETHEUS if kube["stats"]["enabled"] else {}),
                **(infrastructure.get("annotations") or {}),
                **(template.get("extraAnnotations") or {}),
            },
        },
        "spec": {
            "serviceAccountName": name,
            "containers": containers,
            "volumes": pod_volumes + (template.get("extraVolumes") or []),
            **{field: template[key] for key, field in POD_FIELDS.items() if template.get(key) is not None},
        },
    }
    spec: Object = {"selector": {"matchLabels": _selector(gateway)}, "template": pod}
    wanted = kube.get("deployment") or {}
    spec.update({key: wanted[key] for key in ("replicas", "strategy") if wanted.get(key) is not None})
    return {**_owned("apps/v1", "Deployment", gateway, None), "spec": spec}


def istio_enabled(env: dict[str, str]) -> bool:
    """Whether the controller's AUTO_MTLS switch is on (as Go parses booleans)."""
    return env.get("KGW_ENABLE_ISTIO_AUTO_MTLS", "").strip() in ("1", "t", "T", "true", "TRUE", "True")


def _selector(gateway: Object) -> dict[str, str]:
    name = gateway["metadata"]["name"]
    return {
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/name": name,
        "gateway.networking.k8s.io/gateway-name": name,
    }


def _class_label(gateway: Object) -> dict[str, str]:
    return {"gateway.networking.k8s.io/gateway-class-name": gateway["spec"]["gatewayClassName"]}


def _owned(api_version: str, kind: str, gateway: Object, extra: Object | None) -> Object:
    metadata, infrastructure = gateway["metadata"], gateway["spec"].get("infrastructure") or {}
    annotations = {**(infrastructure.get("annotations") or {}), **((extra or {}).get("extraAnnotations") or {})}
    result: Object = {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "labels": {
            **(infrastructure.get("labels") or {}),
            **((extra or {}).get("extraLabels") or {}),
            **_selector(gateway),
            **_class_label(gateway),
            **PROXY_LABELS,
            "app.kubernetes.io/managed-by": "Helm",
            "helm.sh/chart": "kgateway-proxy",
        },
        "ownerReferences": [
            {
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "Gateway",
                "controller": True,
                "name": metadata["name"],
                "uid": metadata["uid"],
            }
        ],
    }
    if annotations:
        result["annotations"] = annotations
    return {"apiVersion": api_version, "kind": kind, "metadata": result}


def _static(name: str, address: str, port: int) -> Object:
    endpoint = {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
    return {
        "name": name,
        "type": "STRICT_DNS",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _stats_listeners(stats: Object) -> list[Object]:
    if not stats["enabled"]:
        return []
    rewrites = {"/metrics": stats["routePrefixRewrite"]}
    if stats["enableStatsRoute"]:
        rewrites["/stats"] = stats["statsRoutePrefixRewrite"]
    routes = [
        {"match": {"prefix": prefix}, "route": {"prefix_rewrite": rewrite, "cluster": "admin_port_cluster"}}
        for prefix, rewrite in rewrites.items()
    ]
    manager = "envoy.filters.network.http_connection_manager"
    config = {
        "@type": f"type.googleapis.com/{manager.replace('envoy.', 'envoy.extensions.')}.v3.HttpConnectionManager",
        "stat_prefix": "prometheus",
        "route_config": {"virtual_hosts": [{"name": "prometheus_host", "domains": ["*"], "routes": routes}]},
    }
    return [
        {
            "name": "prometheus_listener",
            "address": {"socket_address": {"address": "0.0.0.0", "port_value": 9091}},
            "filter_chains": [{"filters": [{"name": manager, "typed_config": config}]}],
        }
    ]
