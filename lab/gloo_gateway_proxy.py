"""The objects Gloo Gateway renders for a Gateway: Deployment, Service, ServiceAccount, ConfigMap.

Pure. Names, containers, env, volumes and defaults as kgateway 2.1 rendered them in recordings; the Envoy bootstrap in
the ConfigMap is shortened (the lab's Envoy gets its configuration from the data plane).
"""

from __future__ import annotations

import copy
from typing import Any

import yaml

Object = dict[str, Any]

PROXY_LABELS = {"kgateway": "kube-gateway"}
PROMETHEUS = {"prometheus.io/path": "/metrics", "prometheus.io/port": "9091", "prometheus.io/scrape": "true"}

# What the controller fills in where GatewayParameters say nothing.
DEFAULTS: Object = {
    "service": {"type": "LoadBalancer"},
    "envoyContainer": {
        "bootstrap": {"logLevel": "info"},
        "image": {"repository": "envoy-wrapper"},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 10101,
        },
    },
    "sdsContainer": {"bootstrap": {"logLevel": "info"}, "image": {"repository": "sds"}},
    "istio": {
        "istioProxyContainer": {
            "image": {"registry": "docker.io/istio", "repository": "proxyv2", "tag": "1.22.0"},
            "logLevel": "warning",
            "istioDiscoveryAddress": "istiod.istio-system.svc:15012",
            "istioMetaMeshId": "cluster.local",
            "istioMetaClusterId": "Kubernetes",
        }
    },
    "stats": {
        "enabled": True,
        "routePrefixRewrite": "/stats/prometheus?usedonly",
        "enableStatsRoute": True,
        "statsRoutePrefixRewrite": "/stats",
    },
    "podTemplate": {
        "terminationGracePeriodSeconds": 60,
        "gracefulShutdown": {"enabled": True, "sleepTimeSeconds": 10},
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": 8082},
            "initialDelaySeconds": 5,
            "periodSeconds": 10,
        },
        "startupProbe": {
            "httpGet": {"path": "/ready", "port": 8082},
            "failureThreshold": 60,
            "periodSeconds": 1,
            "successThreshold": 1,
            "timeoutSeconds": 2,
        },
    },
}

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

# env of istio-proxy that the kubelet fills in.
DOWNWARD = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "INSTANCE_IP": "status.podIP",
    "SERVICE_ACCOUNT": "spec.serviceAccountName",
    "HOST_IP": "status.hostIP",
    "ISTIO_META_POD_NAME": "metadata.name",
    "ISTIO_META_CONFIG_NAMESPACE": "metadata.namespace",
}

ISTIO_ARGS = (
    "proxy sidecar --domain $(POD_NAMESPACE).svc.cluster.local --configPath /etc/istio/proxy "
    "--serviceCluster istio-proxy-prometheus --drainDuration 45s --parentShutdownDuration 1m0s "
    "--proxyLogLevel={level} --proxyComponentLogLevel=misc:error --connectTimeout 10s "
    "--controlPlaneAuthPolicy NONE --dnsRefreshRate 300s --controlPlaneBootstrap=false"
)


class RenderError(Exception):
    """The Deployment cannot be rendered or would be refused by the API server."""


def merged(*layers: Object | None) -> Object:
    """GatewayParameters' spec.kube over the defaults, later layers win field by field."""
    result = copy.deepcopy(DEFAULTS)
    for layer in layers:
        _merge(result, layer or {})
    return result


def render(gateway: Object, kube: Object, env: dict[str, str]) -> list[Object]:
    """Everything but the Deployment; [] when the Gateway has no listener port, and then nothing is deployed.

    kube: merged parameters; env: the controller's environment (its image defaults and AUTO_MTLS switch).
    """
    if not ports(gateway):
        return []
    return [service_account(gateway, kube), config_map(gateway, kube, env), service(gateway, kube)]


def ports(gateway: Object) -> list[int]:
    """The listener ports, each once, in order."""
    return list(dict.fromkeys(listener["port"] for listener in gateway["spec"].get("listeners") or []))


def service_account(gateway: Object, kube: Object) -> Object:
    """The proxy's ServiceAccount."""
    obj = _owned("v1", "ServiceAccount", gateway, kube.get("serviceAccount"))
    return {**obj, "automountServiceAccountToken": False}


def service(gateway: Object, kube: Object) -> Object:
    """The proxy's Service: listener ports one to one."""
    told = kube["service"]
    fixed = {entry["port"]: entry["nodePort"] for entry in told.get("ports") or [] if entry.get("nodePort")}
    listed: list[Object] = []
    for port in ports(gateway):
        entry = {"name": f"listener-{port}", "port": port, "targetPort": port, "protocol": "TCP"}
        if told["type"] == "NodePort" and port in fixed:
            entry["nodePort"] = fixed[port]
        listed.append(entry)
    spec = {"type": told["type"], "ports": listed, "selector": _selector(gateway)}
    spec.update({key: told[key] for key in ("clusterIP", "externalTrafficPolicy") if told.get(key)})
    return {**_owned("v1", "Service", gateway, told), "spec": spec}


def config_map(gateway: Object, kube: Object, env: dict[str, str]) -> Object:
    """The Envoy bootstrap: admin address, node, statistics, controller and (with Istio) the cluster of `sds`.

    No Pod template mentions its content: a change of it alone rolls nothing, as recorded.
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

    Raises RenderError for Istio values that YAML does not read as text ("123", "true", "a: b"): the chart writes them
    unquoted, so the API server refuses the Deployment.
    """
    told, infrastructure = kube["podTemplate"], gateway["spec"].get("infrastructure") or {}
    name = gateway["metadata"]["name"]
    containers, volumes = [_envoy(gateway, kube, env)], _volumes(name)
    if istio_enabled(env):
        containers += [_sds(kube, env), _istio_proxy(kube)]
        volumes += _istio_volumes()
    labels = {**_selector(gateway), **_class_label(gateway), **PROXY_LABELS}
    pod: Object = {
        "metadata": {
            "labels": {**(infrastructure.get("labels") or {}), **(told.get("extraLabels") or {}), **labels},
            "annotations": {
                **(PROMETHEUS if kube["stats"]["enabled"] else {}),
                **(infrastructure.get("annotations") or {}),
                **(told.get("extraAnnotations") or {}),
            },
        },
        "spec": {
            "serviceAccountName": name,
            "containers": containers,
            "volumes": volumes + (told.get("extraVolumes") or []),
            **{field: told[key] for key, field in POD_FIELDS.items() if told.get(key) is not None},
        },
    }
    spec: Object = {"selector": {"matchLabels": _selector(gateway)}, "template": pod}
    wanted = kube.get("deployment") or {}
    spec.update({key: wanted[key] for key in ("replicas", "strategy") if wanted.get(key) is not None})
    return {**_owned("apps/v1", "Deployment", gateway, None), "spec": spec}


def istio_enabled(env: dict[str, str]) -> bool:
    """Whether the controller's AUTO_MTLS switch is on (Go's idea of true)."""
    return env.get("KGW_ENABLE_ISTIO_AUTO_MTLS", "").strip() in ("1", "t", "T", "true", "TRUE", "True")


def _envoy(gateway: Object, kube: Object, env: dict[str, str]) -> Object:
    told, pod = kube["envoyContainer"], kube["podTemplate"]
    args = ["--disable-hot-restart", "--service-node", "$(POD_NAME).$(POD_NAMESPACE)"]
    args += ["--log-level", str(told["bootstrap"]["logLevel"])]
    levels = told["bootstrap"].get("componentLogLevels") or {}
    if levels:
        args += ["--component-log-level", ",".join(f"{key}:{levels[key]}" for key in sorted(levels))]
    listed = [{"name": f"listener-{port}", "containerPort": port, "protocol": "TCP"} for port in ports(gateway)]
    container: Object = {
        "name": "kgateway-proxy",
        **_image(told["image"], env),
        "args": args,
        "env": [*_downward("POD_NAME", "POD_NAMESPACE"), {"name": "ENVOY_UID", "value": "0"}, *(told.get("env") or [])],
        "ports": [*listed, {"name": "http-monitoring", "containerPort": 9091, "protocol": "TCP"}],
        "resources": told.get("resources") or {},
        "securityContext": told["securityContext"],
        "volumeMounts": [
            {"name": "envoy-config", "mountPath": "/etc/envoy"},
            {"name": "xds-token", "mountPath": "/var/run/secrets/tokens", "readOnly": True},
            *(told.get("extraVolumeMounts") or []),
        ],
    }
    container.update({key: pod[key] for key in ("readinessProbe", "startupProbe", "livenessProbe") if pod.get(key)})
    shutdown = pod.get("gracefulShutdown") or {}
    if shutdown.get("enabled"):
        drain = 'wget --post-data "" -O /dev/null 127.0.0.1:19000/healthcheck/fail; sleep '
        command = ["/bin/sh", "-c", f"{drain}{shutdown.get('sleepTimeSeconds', 10)}"]
        container["lifecycle"] = {"preStop": {"exec": {"command": command}}}
    return container


def _sds(kube: Object, env: dict[str, str]) -> Object:
    told = kube["sdsContainer"]
    return {
        "name": "sds",
        **_image(told["image"], env),
        "env": [
            *_downward("POD_NAME", "POD_NAMESPACE"),
            {"name": "ISTIO_MTLS_SDS_ENABLED", "value": "true"},
            {"name": "LOG_LEVEL", "value": str(told["bootstrap"]["logLevel"])},
        ],
        "ports": [{"name": "sds", "containerPort": 8234, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": 8234}, "initialDelaySeconds": 3, "periodSeconds": 10},
        "resources": told.get("resources") or {},
        **({"securityContext": told["securityContext"]} if told.get("securityContext") else {}),
        "volumeMounts": [
            {"name": "envoy-config", "mountPath": "/etc/envoy"},
            {"name": "istio-certs", "mountPath": "/etc/istio-certs/"},
        ],
    }


def _istio_proxy(kube: Object) -> Object:
    told = kube["istio"]["istioProxyContainer"]
    address = told["istioDiscoveryAddress"]
    fixed = {
        "OUTPUT_CERTS": "/etc/istio-certs",
        "JWT_POLICY": "third-party-jwt",
        "PILOT_CERT_PROVIDER": "istiod",
        "CA_ADDR": _unquoted("istioDiscoveryAddress", address),
        "ISTIO_META_MESH_ID": _unquoted("istioMetaMeshId", told["istioMetaMeshId"]),
        "ISTIO_META_CLUSTER_ID": _unquoted("istioMetaClusterId", told["istioMetaClusterId"]),
        "PROXY_CONFIG": f'{{"discoveryAddress": {address} }}\n',
    }
    return {
        "name": "istio-proxy",
        **_image(told["image"], {}),
        "args": ISTIO_ARGS.format(level=told["logLevel"]).split(" "),
        "env": [
            *({"name": key, "value": value} for key, value in fixed.items()),
            *_downward(*DOWNWARD),
            {"name": "DISABLE_ENVOY", "value": "true"},
        ],
        "resources": told.get("resources") or {},
        **({"securityContext": told["securityContext"]} if told.get("securityContext") else {}),
        "volumeMounts": [
            {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"},
            {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
            {"name": "istio-certs", "mountPath": "/etc/istio-certs/"},
            {"name": "istio-token", "mountPath": "/var/run/secrets/tokens"},
            {"name": "credential-socket", "mountPath": "/var/run/secrets/credential-uds"},
            {"name": "workload-socket", "mountPath": "/var/run/secrets/workload-spiffe-uds"},
            {"name": "workload-certs", "mountPath": "/var/run/secrets/workload-spiffe-credentials"},
        ],
    }


def _unquoted(field: str, value: str) -> str:
    """The value as the chart's unquoted text is read back."""
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RenderError(f"{field}: error converting YAML to JSON: {error}") from error
    if read is None:
        return ""
    if not isinstance(read, str):
        raise RenderError(f"{field}: .env.value: expected string, got {value}")
    return read


def _volumes(name: str) -> list[Object]:
    return [
        {"name": "xds-token", "projected": _token("kgateway", "xds-token")},
        {"name": "envoy-config", "configMap": {"name": name}},
    ]


def _istio_volumes() -> list[Object]:
    return [
        {"name": "istio-certs", "emptyDir": {"medium": "Memory"}},
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
        {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
        {"name": "istio-token", "projected": _token("istio-ca", "istio-token")},
        *({"name": name, "emptyDir": {}} for name in ("credential-socket", "workload-socket", "workload-certs")),
    ]


def _token(audience: str, path: str) -> Object:
    token = {"audience": audience, "expirationSeconds": 43200, "path": path}
    return {"sources": [{"serviceAccountToken": token}]}


def _image(told: Object, env: dict[str, str]) -> Object:
    registry = told.get("registry") or env.get("KGW_DEFAULT_IMAGE_REGISTRY") or ""
    tag = told.get("tag") or env.get("KGW_DEFAULT_IMAGE_TAG") or "latest"
    image = "/".join(part for part in (registry, told["repository"]) if part) + f":{tag}"
    policy = told.get("pullPolicy") or env.get("KGW_DEFAULT_IMAGE_PULL_POLICY") or "IfNotPresent"
    return {"image": image + (f"@{told['digest']}" if told.get("digest") else ""), "imagePullPolicy": policy}


def _downward(*names: str) -> list[Object]:
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": DOWNWARD[name]}}} for name in names]


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


def _merge(into: Object, layer: Object) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value is not None:
            into[key] = copy.deepcopy(value)
