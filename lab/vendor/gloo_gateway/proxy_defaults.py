"""GatewayParameters of a gateway proxy merged over the controller's defaults. Pure."""

from __future__ import annotations

import copy

from lab.control_plane.objects import Object

# The controller's values for fields that GatewayParameters do not set.
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


# Lists of the class and of the Gateway are joined, except for these.
REPLACED_LISTS = ("command", "extraArgs", "loadBalancerSourceRanges")


def merged(*layers: Object | None) -> Object:
    """GatewayParameters' spec.kube over the defaults, field by field; later layers override earlier ones."""
    result = copy.deepcopy(DEFAULTS)
    for layer in layers:
        _merge(result, layer or {})
    return result


def _merge(into: Object, layer: Object) -> None:
    for key, value in layer.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif value and isinstance(value, list) and isinstance(into.get(key), list) and key not in REPLACED_LISTS:
            into[key] += copy.deepcopy(value)
        elif value is not None:
            into[key] = copy.deepcopy(value)
