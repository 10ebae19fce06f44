"""The objects that a controller renders for a Gateway: ServiceAccount, ConfigMap, Service, Deployment and overlays.

Pure. Names, containers, env, volumes and defaults as kgateway rendered them in recordings, for each line (lines.py);
the Envoy bootstrap in the ConfigMap is shortened (the lab's Envoy gets its configuration from the data plane).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import yaml

from lab.control_plane.objects import Object
from lab.vendor.gloo_gateway import overlays
from lab.vendor.gloo_gateway.controllers import AUTO_MTLS, Controller, is_on
from lab.vendor.gloo_gateway.proxy_containers import (
    NotParsed,
    NotText,
    envoy,
    istio_proxy,
    istio_volumes,
    sds,
    text,
    volumes,
)

Renderer = Callable[[Object, Object, Controller], Object]

PROXY_LABELS = {"kgateway": "kube-gateway"}
PROMETHEUS = {"prometheus.io/path": "/metrics", "prometheus.io/port": "9091", "prometheus.io/scrape": "true"}
FULL_NAME = "gateway.kgateway.dev/gateway-full-name"
RELEASE_NAME = (
    r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$ and the length must not be longer than"
)

# podTemplate fields that go into the Pod's spec under the same name.
POD_FIELDS = (
    "nodeSelector",
    "affinity",
    "tolerations",
    "topologySpreadConstraints",
    "imagePullSecrets",
    "securityContext",
    "terminationGracePeriodSeconds",
)


class RenderError(Exception):
    """Nothing can be rendered; the text is the message of the Gateway, which has InvalidParameters."""


class Rendered(NamedTuple):
    """objects: in the order in which they are applied. refused: why the one after them is not, as the log tells it."""

    objects: list[Object]
    refused: str = ""


def service_ports(gateway: Object, kube: Object, controller: Controller) -> list[int]:
    """The ports of listeners that are not reserved, and those that the parameters add; each once, in order."""
    of_listeners = [int(listener["port"]) for listener in gateway["spec"].get("listeners") or []]
    added = [int(entry["port"]) for entry in (kube.get("service") or {}).get("ports") or []]
    return list(dict.fromkeys([*(port for port in of_listeners if port not in controller.reserved_ports), *added]))


def render(gateway: Object, kube: Object, controller: Controller, layers: tuple[Object, ...] = ()) -> Rendered:
    """Everything to be deployed; nothing when the Gateway has no valid port. Raises RenderError.

    kube: merged parameters; layers: those with overlays, in order.
    """
    if not service_ports(gateway, kube, controller):
        return Rendered([], "no valid ports")
    longest, name = controller.line.longest_name, gateway["metadata"]["name"]
    if longest is not None and len(name) > longest:
        problem = f'release name check failed: release name "{name}": invalid release name, must match regex '
        raise RenderError(_message(gateway, controller, f"{problem}{RELEASE_NAME} {longest}"))
    found: list[Object] = []
    refused = ""
    for kind, renderer in (AGENTGATEWAY_OBJECTS if controller.is_agentgateway else ENVOY_OBJECTS).items():
        try:
            obj = renderer(gateway, kube, controller)
        except NotParsed as error:
            problem = controller.line.parse_error.format(template=kind.lower(), problem=error)
            raise RenderError(_message(gateway, controller, problem)) from error
        except NotText as error:
            group = "apps/v1" if kind == "Deployment" else "/v1"
            place = f"{group}, Kind={kind} {gateway['metadata']['namespace']}/{name}"
            refused = refused or f"failed to apply object {place}: {error}"
            continue
        if not refused:
            found.append(obj)
    try:
        return Rendered(overlays.applied(found, layers), refused)
    except overlays.OverlayError as error:
        place = f"{gateway['metadata']['namespace']}.{name}"
        raise RenderError(f"failed to post-process objects for {place}: {error}") from error


def service_account(gateway: Object, kube: Object, controller: Controller) -> Object:
    """The proxy's ServiceAccount."""
    obj = _owned("v1", "ServiceAccount", gateway, controller, kube.get("serviceAccount"))
    return {**obj, "automountServiceAccountToken": False}


def service(gateway: Object, kube: Object, controller: Controller) -> Object:
    """The proxy's Service: its ports one to one."""
    parameters, line = kube["service"], controller.line
    fixed = {entry["port"]: entry["nodePort"] for entry in parameters.get("ports") or [] if entry.get("nodePort")}
    listed: list[Object] = []
    for port in service_ports(gateway, kube, controller):
        entry = {"name": f"listener-{port}", "port": port, "targetPort": port, "protocol": "TCP"}
        if parameters["type"] in line.node_port_types and port in fixed:
            entry["nodePort"] = fixed[port]
        listed.append(entry)
    spec = {"type": parameters["type"], "ports": listed, "selector": _selector(gateway, controller)}
    spec.update({key: text(parameters[key]) for key in ("clusterIP", "externalTrafficPolicy") if parameters.get(key)})
    spec.update({key: parameters[key] for key in line.load_balancer_fields if parameters.get(key)})
    return {**_owned("v1", "Service", gateway, controller, parameters), "spec": spec}


def config_map(gateway: Object, kube: Object, controller: Controller) -> Object:
    """The Envoy bootstrap: admin address, node, statistics, controller and (with Istio) the cluster of `sds`.

    The Pod template does not depend on its content: a change of it alone restarts no Pod, as recorded.
    """
    metadata, env = gateway["metadata"], controller.env
    clusters = [_static("xds_cluster", env.get("KGW_XDS_SERVICE_NAME", controller.product.name), 9977)]
    clusters += [_static("gateway_proxy_sds", "127.0.0.1", 8234)] if istio_enabled(controller) else []
    bootstrap = {
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 19000}}},
        "node": {
            "cluster": f"{controller.line.proxy_name(gateway)}.{metadata['namespace']}",
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
    obj = _owned("v1", "ConfigMap", gateway, controller, None)
    return {**obj, "data": {"envoy.yaml": yaml.safe_dump(bootstrap, sort_keys=False)}}


def deployment(gateway: Object, kube: Object, controller: Controller) -> Object:
    """The proxy's Deployment: one container, or three when the controller's AUTO_MTLS switch is on.

    Raises NotText for values without quotes that YAML reads as another type ("123", "true"), NotParsed for those that
    are no YAML there ("[::1]:15012").
    """
    template, line = kube["podTemplate"], controller.line
    name = line.proxy_name(gateway)
    containers = [envoy(service_ports(gateway, kube, controller), kube, controller.env, line)]
    pod_volumes = volumes(name)
    if istio_enabled(controller):
        containers += [sds(kube, controller.env), istio_proxy(kube)]
        pod_volumes += istio_volumes()
    infrastructure = _infrastructure(gateway, controller)
    pod: Object = {
        "metadata": {
            "labels": {
                **(template.get("extraLabels") or {}),
                **infrastructure["labels"],
                **_selector(gateway, controller),
                **_class_label(gateway),
                **PROXY_LABELS,
            },
            "annotations": {
                **({FULL_NAME: gateway["metadata"]["name"]} if line.full_name_annotation else {}),
                **(PROMETHEUS if kube["stats"]["enabled"] else {}),
                **(template.get("extraAnnotations") or {}),
                **infrastructure["annotations"],
            },
        },
        "spec": {
            "serviceAccountName": name,
            "containers": containers,
            "volumes": pod_volumes + (template.get("extraVolumes") or []),
            **{key: template[key] for key in POD_FIELDS if template.get(key) is not None},
            **{key: template[key] for key in line.pod_fields if template.get(key)},
        },
    }
    spec: Object = {"selector": {"matchLabels": _selector(gateway, controller)}, "template": pod}
    wanted = kube.get("deployment") or {}
    if wanted.get("replicas") or (wanted.get("replicas") == 0 and line.applies_zero_replicas):
        spec["replicas"] = wanted["replicas"]
    if wanted.get("strategy"):
        spec["strategy"] = wanted["strategy"]
    return {**_owned("apps/v1", "Deployment", gateway, controller, None), "spec": spec}


def agentgateway(gateway: Object, kube: Object, controller: Controller) -> Object:
    """The Deployment of a Gateway of class agentgateway: one container, which gets no certificates from istiod."""
    made = deployment(gateway, kube, controller._replace(env={**controller.env, AUTO_MTLS: "false"}))
    [container] = made["spec"]["template"]["spec"]["containers"]
    image = str(container["image"]).replace("envoy-wrapper", "agentgateway")
    container |= {"name": "agentgateway", "image": image, "args": ["-f", "/config/config.yaml"]}
    return made


# In the order in which they are applied.
ENVOY_OBJECTS: dict[str, Renderer] = {
    "ServiceAccount": service_account,
    "ConfigMap": config_map,
    "Service": service,
    "Deployment": deployment,
}
AGENTGATEWAY_OBJECTS = {**ENVOY_OBJECTS, "Deployment": agentgateway}


def istio_enabled(controller: Controller) -> bool:
    """Whether the controller's AUTO_MTLS switch is on."""
    return is_on(controller.env, AUTO_MTLS)


def _message(gateway: Object, controller: Controller, problem: str) -> str:
    metadata = gateway["metadata"]
    place = {"namespace": metadata["namespace"], "gateway": metadata["name"]}
    return controller.line.render_error.format(**place, problem=problem)


def _infrastructure(gateway: Object, controller: Controller) -> dict[str, dict[str, str]]:
    """Labels and annotations that the Gateway has for its objects."""
    given = gateway["spec"].get("infrastructure") or {} if controller.line.copies_infrastructure else {}
    return {key: given.get(key) or {} for key in ("labels", "annotations")}


def _selector(gateway: Object, controller: Controller) -> dict[str, str]:
    name = controller.line.proxy_name(gateway)
    return {
        "app.kubernetes.io/instance": name,
        "app.kubernetes.io/name": name,
        "gateway.networking.k8s.io/gateway-name": name,
    }


def _class_label(gateway: Object) -> dict[str, str]:
    return {"gateway.networking.k8s.io/gateway-class-name": gateway["spec"]["gatewayClassName"]}


def _is_text(name: str) -> bool:
    try:
        return text(name) == name
    except NotText:
        return False


def _owned(api_version: str, kind: str, gateway: Object, controller: Controller, extra: Object | None) -> Object:
    """An object of the Gateway. Raises NotText for a name without quotes that is none, such as 123 or on."""
    metadata, infrastructure = gateway["metadata"], _infrastructure(gateway, controller)
    if not _is_text(metadata["name"]):
        raise NotText("name is required")
    if controller.line.class_name_unquoted:
        text(gateway["spec"]["gatewayClassName"])
    annotations = {**((extra or {}).get("extraAnnotations") or {}), **infrastructure["annotations"]}
    result: Object = {
        "name": controller.line.proxy_name(gateway),
        "namespace": metadata["namespace"],
        "labels": {
            **((extra or {}).get("extraLabels") or {}),
            **infrastructure["labels"],
            **_selector(gateway, controller),
            **_class_label(gateway),
            **PROXY_LABELS,
            **controller.line.managed_by,
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
