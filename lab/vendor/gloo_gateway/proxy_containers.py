"""Containers and volumes of a gateway proxy Pod. Pure."""

from __future__ import annotations

import yaml

from lab.control_plane.objects import Object
from lab.vendor.gloo_gateway import unquoted
from lab.vendor.gloo_gateway.lines import Line

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


class NotParsed(Exception):
    """The chart with this value is no YAML; the text is the parser's."""


class NotText(Exception):
    """The value is read as another type than text, so that the API server refuses the object."""


def text(value: object, quotes: str = "") -> str:
    """A value as YAML parses it where the chart writes it, by default without quotes. Raises NotParsed, NotText."""
    try:
        read = unquoted.read(f"{quotes}{value}{quotes}")
    except yaml.YAMLError as error:
        raise NotParsed(str(getattr(error, "problem", None) or error)) from error
    if read is None:
        return ""
    if not isinstance(read, str):
        raise NotText(f"expected string, got {value}")
    return read


def envoy(ports: list[int], kube: Object, env: dict[str, str], line: Line) -> Object:
    settings, pod = kube["envoyContainer"], kube["podTemplate"]
    args = ["--disable-hot-restart", "--service-node", "$(POD_NAME).$(POD_NAMESPACE)"]
    if settings["bootstrap"].get("logLevel"):
        args += ["--log-level", text(settings["bootstrap"]["logLevel"], '"')]
    levels = settings["bootstrap"].get("componentLogLevels") or {}
    if levels:
        args += ["--component-log-level", text(",".join(f"{key}:{levels[key]}" for key in sorted(levels)), '"')]
    args += (settings.get("extraArgs") or []) if line.extra_args else []
    listed = [{"name": f"listener-{port}", "containerPort": port, "protocol": "TCP"} for port in ports]
    container: Object = {
        "name": "kgateway-proxy",
        **_image(settings["image"], env),
        "args": args,
        "env": [
            *_downward("POD_NAME", "POD_NAMESPACE"),
            {"name": "ENVOY_UID", "value": "0"},
            *(settings.get("env") or []),
        ],
        "ports": [*listed, {"name": "http-monitoring", "containerPort": 9091, "protocol": "TCP"}],
        "resources": settings.get("resources") or {},
        "securityContext": settings["securityContext"],
        "volumeMounts": [
            {"name": "envoy-config", "mountPath": "/etc/envoy"},
            {"name": "xds-token", "mountPath": "/var/run/secrets/tokens", "readOnly": True},
            *(settings.get("extraVolumeMounts") or []),
        ],
    }
    container.update({key: pod[key] for key in ("readinessProbe", "startupProbe", "livenessProbe") if pod.get(key)})
    shutdown = pod.get("gracefulShutdown") or {}
    if shutdown.get("enabled"):
        drain = 'wget --post-data "" -O /dev/null 127.0.0.1:19000/healthcheck/fail; sleep '
        command = ["/bin/sh", "-c", f"{drain}{shutdown.get('sleepTimeSeconds', 10)}"]
        container["lifecycle"] = {"preStop": {"exec": {"command": command}}}
    return container


def sds(kube: Object, env: dict[str, str]) -> Object:
    settings = kube["sdsContainer"]
    return {
        "name": "sds",
        **_image(settings["image"], env),
        "env": [
            *_downward("POD_NAME", "POD_NAMESPACE"),
            {"name": "ISTIO_MTLS_SDS_ENABLED", "value": "true"},
            {"name": "LOG_LEVEL", "value": text(settings["bootstrap"].get("logLevel") or "")},
        ],
        "ports": [{"name": "sds", "containerPort": 8234, "protocol": "TCP"}],
        "readinessProbe": {"tcpSocket": {"port": 8234}, "initialDelaySeconds": 3, "periodSeconds": 10},
        "resources": settings.get("resources") or {},
        **({"securityContext": settings["securityContext"]} if settings.get("securityContext") else {}),
        "volumeMounts": [
            {"name": "envoy-config", "mountPath": "/etc/envoy"},
            {"name": "istio-certs", "mountPath": "/etc/istio-certs/"},
        ],
    }


def istio_proxy(kube: Object) -> Object:
    settings = kube["istio"]["istioProxyContainer"]
    address = settings["istioDiscoveryAddress"]
    fixed = {
        "OUTPUT_CERTS": "/etc/istio-certs",
        "JWT_POLICY": "third-party-jwt",
        "PILOT_CERT_PROVIDER": "istiod",
        "CA_ADDR": text(address),
        "ISTIO_META_MESH_ID": text(settings["istioMetaMeshId"]),
        "ISTIO_META_CLUSTER_ID": text(settings["istioMetaClusterId"]),
        "PROXY_CONFIG": f'{{"discoveryAddress": {address} }}\n',
    }
    return {
        "name": "istio-proxy",
        **_image(settings["image"], {}),
        "args": [text(argument.format(level=settings["logLevel"])) for argument in ISTIO_ARGS.split(" ")],
        "env": [
            *({"name": key, "value": value} for key, value in fixed.items()),
            *_downward(*DOWNWARD),
            {"name": "DISABLE_ENVOY", "value": "true"},
        ],
        "resources": settings.get("resources") or {},
        **({"securityContext": settings["securityContext"]} if settings.get("securityContext") else {}),
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


def volumes(name: str) -> list[Object]:
    return [
        {"name": "xds-token", "projected": _token("kgateway", "xds-token")},
        {"name": "envoy-config", "configMap": {"name": name}},
    ]


def istio_volumes() -> list[Object]:
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


def _image(settings: Object, env: dict[str, str]) -> Object:
    registry = settings.get("registry") or env.get("KGW_DEFAULT_IMAGE_REGISTRY") or ""
    tag = settings.get("tag") or env.get("KGW_DEFAULT_IMAGE_TAG") or "latest"
    image = "/".join(part for part in (registry, settings["repository"]) if part) + f":{tag}"
    image += f"@{settings['digest']}" if settings.get("digest") else ""
    policy = settings.get("pullPolicy") or env.get("KGW_DEFAULT_IMAGE_PULL_POLICY") or "IfNotPresent"
    return {"image": text(image, '"'), "imagePullPolicy": text(policy)}


def _downward(*names: str) -> list[Object]:
    return [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": DOWNWARD[name]}}} for name in names]
