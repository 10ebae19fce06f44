# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the Istio control planes (istiods) of a cluster and what a proxy has to know of them.

Pure: plain dicts in, plain dicts out. Reading the cluster is istiod_info.py's part.

One fact often stands in several places that disagree. Each place is asked in the order in which it binds: what the
running process was told (its container) before what the installer noted (ConfigMaps, webhooks) before names and labels.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

try:
    import yaml
except ImportError:  # told by cluster.py, which every caller needs first
    pass

Object = dict[str, Any]

XDS_PORT = 15012
KEYS = (
    "namespace", "name", "revision", "tags", "address", "cluster_id",
    "mesh_id", "network", "trust_domain", "version", "ready",
)  # fmt: skip
#: how sure a value is: read from what binds; from a second-hand place; inferred; not to be had
CERTAIN, LIKELY, GUESS, UNKNOWN = "certain", "likely", "guess", "unknown"

_INJECT_PATH = re.compile(r"/inject/cluster/(?P<cluster>[^/]*)(?:/net/(?P<network>[^/]*))?")
_SERVICE_HOST = re.compile(r"^(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc(?:\..+)?$")
_DEFAULT_CLUSTER_ID = "Kubernetes"


@dataclass
class _Plane:
    """One control plane while its parts are being put together."""

    namespace: str
    revision: str
    deployment: Object | None = None
    services: list[Object] = field(default_factory=list)  # those that select the Deployment's Pods
    remotes: list[Object] = field(default_factory=list)  # selectorless ones: the istiod is elsewhere
    dead: list[Object] = field(default_factory=list)  # istiod's own, but nothing to select
    external: str | None = None  # host:port outside the cluster, no Service at all
    service: Object | None = None
    mesh: Object | None = None
    mesh_name: str = ""
    values: Object | None = None
    values_name: str = ""
    webhooks: list[Object] = field(default_factory=list)
    record: Object = field(default_factory=dict)
    sources: list[Object] = field(default_factory=list)

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.record.get('name') or '(external)'} (revision {self.revision})"

    def put(self, key: str, value: Any, source: str, certainty: str) -> None:
        self.record[key] = value
        self.sources.append({"key": key, "source": source, "certainty": certainty})


# --- small readers ------------------------------------------------------------


def _meta(obj: Object, key: str) -> str:
    return str((obj.get("metadata") or {}).get(key) or "")


def _labels(obj: Object) -> dict[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _where(obj: Object) -> str:
    namespace = _meta(obj, "namespace")
    return f"{namespace}/{_meta(obj, 'name')}" if namespace else _meta(obj, "name")


def _template(deployment: Object) -> Object:
    return (deployment.get("spec") or {}).get("template") or {}


def _template_labels(deployment: Object) -> dict[str, str]:
    return (_template(deployment).get("metadata") or {}).get("labels") or {}


def _discovery_container(deployment: Object) -> Object | None:
    """The container that runs pilot-discovery, or None when this Deployment is no istiod."""
    containers: list[Object] = (_template(deployment).get("spec") or {}).get("containers") or []
    for container in containers:
        words = [*(container.get("command") or []), *(container.get("args") or [])]
        image = str(container.get("image") or "").split("@", maxsplit=1)[0].rsplit("/", 1)[-1].split(":")[0]
        if container.get("name") == "discovery" or image == "pilot" or words[:1] == ["discovery"]:
            return container
    if _template_labels(deployment).get("app") == "istiod" and len(containers) == 1:
        return containers[0]
    return None


def _selects(selector: Mapping[str, str] | None, labels: Mapping[str, str]) -> bool:
    return bool(selector) and all(labels.get(key) == value for key, value in (selector or {}).items())


def _has_xds_port(service: Object) -> bool:
    ports = (service.get("spec") or {}).get("ports") or []
    return any(p.get("port") == XDS_PORT and p.get("protocol", "TCP") == "TCP" for p in ports)


def _looks_like_istiod(service: Object) -> bool:
    """Named istiod by whoever made it. An east-west gateway, which may carry port 15012 too, is not."""
    labels, selector = _labels(service), (service.get("spec") or {}).get("selector") or {}
    return (
        labels.get("app.kubernetes.io/name") == "istiod"
        or labels.get("app") == "istiod"
        or selector.get("app") == "istiod"
        or selector.get("istio") in ("pilot", "istiod")
    )


def _external_target(service: Object) -> tuple[str, str] | None:
    """(namespace, name) of the Service inside the cluster an ExternalName points to, else None."""
    spec = service.get("spec") or {}
    if spec.get("type") != "ExternalName":
        return None
    match = _SERVICE_HOST.match(str(spec.get("externalName") or ""))
    return (match["namespace"], match["name"]) if match else None


def split_host_port(address: str) -> tuple[str, int | None]:
    """(host, port); the port is None when the address has none that is a number."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "]" not in port:
        return host.strip("[]"), int(port)
    return address.strip("[]"), None


def service_of_address(address: str | None, namespace: str = "") -> tuple[str, str] | None:
    """(namespace, name) of the Service an in-cluster address means, else None.

    Short names (`istiod`, `istiod.istio-system`) only count where `namespace`, in which they are used, is given.
    """
    host = split_host_port(address)[0] if address else ""
    match = _SERVICE_HOST.match(host)
    if match:
        return match["namespace"], match["name"]
    parts = host.split(".")
    if not host or not namespace or len(parts) > 2:
        return None
    return (parts[1], parts[0]) if len(parts) == 2 and parts[1] == namespace else (namespace, parts[0])


def _service_name(revision: str) -> str:
    return "istiod" if revision == "default" else f"istiod-{revision}"


def _suffixed(name: str, revision: str) -> str:
    return name if revision == "default" else f"{name}-{revision}"


# --- facts of the container ------------------------------------------------------------


def _flag(container: Object, name: str) -> str | None:
    """Value of a command line flag in either spelling; the last one given counts."""
    found: str | None = None
    words = [str(w) for w in [*(container.get("command") or []), *(container.get("args") or [])]]
    for position, word in enumerate(words):
        if word.startswith(f"--{name}="):
            found = word.split("=", 1)[1]
        elif word == f"--{name}" and position + 1 < len(words):
            found = words[position + 1]
    return found


def _env(container: Object, name: str) -> tuple[bool, str | None]:
    """(is it set, its value). The value is None when it comes from elsewhere (valueFrom) and cannot be read here.

    Of duplicates the kubelet keeps the last; `$(OTHER)` is expanded from what stands before it.
    """
    known: dict[str, str | None] = {}
    for entry in container.get("env") or []:
        value: str | None = None
        if "valueFrom" not in entry:
            value = str(entry.get("value") or "")
            for other in re.findall(r"(?<!\$)\$\(([^)]+)\)", value):
                text = known.get(other)
                if text is None:
                    value = None
                    break
                value = value.replace(f"$({other})", text)
        known[str(entry.get("name"))] = value
    return name in known, known.get(name)


def image_version(image: str) -> str | None:
    """Tag of an image reference; None when it has none (a digest says nothing a person can read)."""
    name = image.split("@")[0].rsplit("/", 1)[-1]
    return name.split(":", 1)[1] if ":" in name else None


def _cluster_id(plane: _Plane) -> tuple[str | None, str, str]:
    container = _discovery_container(plane.deployment) if plane.deployment else None
    from_values = str((((plane.values or {}).get("global") or {}).get("multiCluster") or {}).get("clusterName") or "")
    from_path = next((m["cluster"] for m in _inject_paths(plane) if m["cluster"]), "")
    if container is not None and plane.deployment is not None:
        where = f"Deployment {_where(plane.deployment)}"
        argument = _flag(container, "clusterID")
        if argument:
            return argument, f"{where}, argument --clusterID", CERTAIN
        is_set, value = _env(container, "CLUSTER_ID")
        if is_set and value:
            return value, f"{where}, env CLUSTER_ID", CERTAIN
        if not is_set and container.get("envFrom"):
            if not from_values:
                return _DEFAULT_CLUSTER_ID, f"{where} sets no CLUSTER_ID, unless its envFrom does", GUESS
        elif not is_set or value == "":
            return _DEFAULT_CLUSTER_ID, f"{where} sets no CLUSTER_ID: istiod's default", CERTAIN
        if not from_values and not from_path:
            return None, f"{where}, env CLUSTER_ID comes from elsewhere (valueFrom)", UNKNOWN
    if from_values:
        return from_values, f"ConfigMap {plane.values_name}, global.multiCluster.clusterName", LIKELY
    if from_path:
        return from_path, "injection webhook, path", LIKELY
    if plane.values is not None:
        return (
            None,
            f"no Deployment; ConfigMap {plane.values_name} names none, which means {_DEFAULT_CLUSTER_ID}",
            UNKNOWN,
        )
    return None, "neither Deployment nor injector tell", UNKNOWN


# --- ConfigMaps and webhooks ------------------------------------------------------------


def _parse_mesh(configmap: Object) -> Object | None:
    try:
        mesh = yaml.safe_load((configmap.get("data") or {}).get("mesh") or "")
    except yaml.YAMLError:
        return None
    return mesh if isinstance(mesh, dict) else None


def _parse_values(configmap: Object) -> Object | None:
    """Injector values: only what is asked for is kept, the rest may hold what nobody should print."""
    try:
        values = json.loads((configmap.get("data") or {}).get("values") or "")
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    wanted = values.get("global") or {}
    return {
        "revision": values.get("revision"),
        "global": {k: wanted.get(k) for k in ("meshID", "network", "multiCluster", "tag")},
    }


def _attach_config(plane: _Plane, configmaps: Iterable[Object]) -> None:
    here = [c for c in configmaps if _meta(c, "namespace") == plane.namespace]

    def best(key: str, prefix: str) -> Object | None:
        name = _suffixed(prefix, plane.revision)
        having = [c for c in here if key in (c.get("data") or {})]
        named = [c for c in having if _meta(c, "name") == name]
        same = [
            c
            for c in having
            if _labels(c).get("istio.io/rev") == plane.revision and _meta(c, "name").startswith(prefix)
        ]
        return named[0] if named else same[0] if len(same) == 1 else None

    mesh = best("mesh", "istio")
    if mesh is not None:
        plane.mesh, plane.mesh_name = _parse_mesh(mesh), _where(mesh)
    values = best("values", "istio-sidecar-injector")
    if values is not None:
        plane.values, plane.values_name = _parse_values(values), _where(values)


def _client_configs(webhook: Object) -> list[Object]:
    return [
        hook.get("clientConfig") or {}
        for hook in webhook.get("webhooks") or []
        if str(hook.get("name") or "").endswith("sidecar-injector.istio.io")
    ]


def _inject_paths(plane: _Plane) -> list[re.Match[str]]:
    paths = []
    for webhook in plane.webhooks:
        for config in _client_configs(webhook):
            path = (config.get("service") or {}).get("path") or urlsplit(str(config.get("url") or "")).path
            match = _INJECT_PATH.search(str(path))
            if match:
                paths.append(match)
    return paths


def _webhook_services(webhook: Object) -> set[tuple[str, str]]:
    return {
        (str(c["service"].get("namespace")), str(c["service"].get("name")))
        for c in _client_configs(webhook)
        if c.get("service")
    }


def _webhook_namespace(webhook: Object) -> str:
    """Namespace of the control plane behind an injector: its Service's, the release's, or Istio's usual one."""
    services = sorted(_webhook_services(webhook))
    if services:
        return services[0][0]
    annotations = (webhook.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get("meta.helm.sh/release-namespace") or "istio-system")


def _is_default_injector(webhook: Object) -> bool:
    """Whether it injects namespaces labelled istio-injection=enabled (and was not switched off by moving the tag)."""
    for hook in webhook.get("webhooks") or []:
        if hook.get("name") == "namespace.sidecar-injector.istio.io":
            selector = hook.get("namespaceSelector") or {}
            return "istio.io/deactivated" not in (selector.get("matchLabels") or {})
    return False


# --- discovery ------------------------------------------------------------


def _deployment_revision(deployment: Object) -> str:
    container = _discovery_container(deployment) or {}
    return (
        _labels(deployment).get("istio.io/rev")
        or _template_labels(deployment).get("istio.io/rev")
        or _env(container, "REVISION")[1]
        or "default"
    )


def _service_revision(service: Object, webhooks: Iterable[Object]) -> str:
    revision = _labels(service).get("istio.io/rev")
    if revision:
        return revision
    key = (_meta(service, "namespace"), _meta(service, "name"))
    told = {_labels(w).get("istio.io/rev", "") for w in webhooks if key in _webhook_services(w)} - {""}
    if len(told) == 1:
        return told.pop()
    selected = ((service.get("spec") or {}).get("selector") or {}).get("istio.io/rev")
    if selected:
        return str(selected)
    name = _meta(service, "name").removesuffix("-remote")
    return name.removeprefix("istiod-") if name.startswith("istiod-") else "default"


def _discovery_address(plane: _Plane) -> str:
    return str(((plane.mesh or {}).get("defaultConfig") or {}).get("discoveryAddress") or "")


def _pick_service(
    plane: _Plane, shared: set[tuple[str, str]], deployments_read: bool
) -> tuple[Object | None, str, str]:
    """The Service proxies must use, where that is known from, and how sure it is."""
    address = _discovery_address(plane)
    named = service_of_address(address, plane.namespace)

    def is_named(service: Object) -> bool:
        return named == (_meta(service, "namespace"), _meta(service, "name"))

    remotes = sorted(plane.remotes, key=lambda s: (not is_named(s), not _meta(s, "name").endswith("-remote")))
    if remotes and not plane.services:
        return remotes[0], "Service without selector, made for a remote istiod", CERTAIN
    only_injects = remotes and not any(is_named(s) for s in plane.services)
    if only_injects and (is_named(remotes[0]) or _meta(remotes[0], "name").endswith("-remote")):
        return remotes[0], "Service for the remote istiod; the one here only injects", CERTAIN
    if plane.services:

        def rank(service: Object) -> tuple[bool, bool, bool, bool, str]:
            labels = _labels(service)
            return (
                "istio.io/tag" in labels,
                (_meta(service, "namespace"), _meta(service, "name")) in shared,
                labels.get("istio.io/rev") != plane.revision,
                _meta(service, "name") != _service_name(plane.revision) and not is_named(service),
                _meta(service, "name"),
            )

        best = sorted(plane.services, key=rank)
        text = "Service with port 15012 that selects istiod's Pods"
        return best[0], text, CERTAIN if len(best) == 1 or rank(best[0])[:4] != rank(best[1])[:4] else LIKELY
    if plane.dead:
        best = sorted(plane.dead, key=lambda s: (_meta(s, "name") != _service_name(plane.revision), _meta(s, "name")))
        text = (
            "of an istiod that is not there" if deployments_read else "named like istiod's; Deployments were not read"
        )
        return best[0], f"Service with port 15012, {text}", LIKELY
    return None, "no Service with port 15012", UNKNOWN


def discover(objects: Mapping[str, list[Object] | None]) -> dict[str, Any]:
    """Find every control plane in the objects of one cluster.

    objects: lists under `deployments`, `services`, `endpointslices`, `configmaps`, `mutatingwebhookconfigurations`,
    `namespaces`. A key that is absent or None could not be read; what depends on it becomes null, not wrong.

    Returns `istiods` (records with `KEYS`), `sources` (records: namespace, name, revision, key, source, certainty),
    `problems` (sentences), `default_injectors` (places in `istiods` that serve istio-injection=enabled), `serving`
    (place in `istiods` by "namespace/name" of every Service that leads to it, aliases too).
    """
    services = [s for s in objects.get("services") or [] if _has_xds_port(s)]
    deployments = [d for d in objects.get("deployments") or [] if _discovery_container(d)]
    webhooks = [w for w in objects.get("mutatingwebhookconfigurations") or [] if _client_configs(w)]
    configmaps = objects.get("configmaps") or []
    deployments_read = objects.get("deployments") is not None
    problems: list[str] = []

    planes, shared = _group(deployments, services, webhooks, configmaps)
    _external_planes(planes, webhooks, configmaps, problems, objects)
    for plane in planes:
        _attach_webhooks(plane, webhooks, planes)
    for plane in planes:
        _fill(plane, objects, shared)
        problems += _plane_problems(plane, objects, deployments_read)
    planes.sort(key=lambda p: (p.namespace, p.record["name"] or "", p.revision))
    problems += _cluster_problems(planes, objects, webhooks)
    return {
        "istiods": [{key: plane.record[key] for key in KEYS} for plane in planes],
        "sources": [
            {"namespace": p.namespace, "name": p.record["name"], "revision": p.revision, **source}
            for p in planes
            for source in p.sources
        ],
        "problems": list(dict.fromkeys(problems)),
        "serving": _serving(planes, objects),
        "default_injectors": [place for place, plane in enumerate(planes) if _serves_default(plane, objects)],
    }


def _serving(planes: list[_Plane], objects: Mapping[str, list[Object] | None]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, plane in enumerate(planes):
        only_injects = plane.service is not None and plane.service in plane.remotes
        for service in plane.remotes if only_injects else [*plane.services, *plane.dead]:
            found[_where(service)] = place
    for service in objects.get("services") or []:
        target = _external_target(service)
        if target and "/".join(target) in found:
            found.setdefault(_where(service), found["/".join(target)])
    return found


def _group(
    deployments: list[Object], services: list[Object], webhooks: list[Object], configmaps: list[Object]
) -> tuple[list[_Plane], set[tuple[str, str]]]:
    """Put Deployments and Services together into planes. Second result: Services that select more than one istiod."""
    planes = [
        _Plane(_meta(d, "namespace"), _deployment_revision(d), deployment=d)
        for d in sorted(deployments, key=lambda d: (_meta(d, "namespace"), _meta(d, "name")))
    ]
    shared: set[tuple[str, str]] = set()
    local = {(_meta(s, "namespace"), _meta(s, "name")) for s in services}
    told = {
        target
        for c in configmaps
        if "mesh" in (c.get("data") or {})
        for target in [
            service_of_address(
                str(((_parse_mesh(c) or {}).get("defaultConfig") or {}).get("discoveryAddress") or ""),
                _meta(c, "namespace"),
            )
        ]
        if target
    } | {key for w in webhooks for key in _webhook_services(w)}

    def plane_of(namespace: str, revision: str) -> _Plane:
        for plane in planes:
            if (plane.namespace, plane.revision) == (namespace, revision):
                return plane
        planes.append(_Plane(namespace, revision))
        return planes[-1]

    left: list[Object] = []
    for service in services:
        selector = (service.get("spec") or {}).get("selector")
        serving = [
            p
            for p in planes
            if p.deployment
            and p.namespace == _meta(service, "namespace")
            and _selects(selector, _template_labels(p.deployment))
        ]
        for plane in serving:
            plane.services.append(service)
        if len(serving) > 1:
            shared.add((_meta(service, "namespace"), _meta(service, "name")))
        if not serving:
            left.append(service)
    for service in left:
        key = (_meta(service, "namespace"), _meta(service, "name"))
        if "istio.io/tag" in _labels(service):
            continue
        if not (service.get("spec") or {}).get("selector"):
            target = _external_target(service)
            if target and target in local:
                continue  # another name for a Service that is looked at itself
            if _labels(service).get("app.kubernetes.io/name") == "istiod" or key in told:
                plane_of(key[0], _service_revision(service, webhooks)).remotes.append(service)
        elif _looks_like_istiod(service):
            plane_of(key[0], _service_revision(service, webhooks)).dead.append(service)
    for plane in planes:
        _attach_config(plane, configmaps)
    return planes, shared


def _external_planes(
    planes: list[_Plane],
    webhooks: list[Object],
    configmaps: list[Object],
    problems: list[str],
    objects: Mapping[str, list[Object] | None],
) -> None:
    """Control planes outside the cluster that no Service stands for: mesh config or webhook name their host."""
    if objects.get("services") is None:
        return  # without the Services "no Service stands for it" is not known
    known = {(p.namespace, p.revision) for p in planes}
    for webhook in webhooks:
        revision = _labels(webhook).get("istio.io/rev", "default")
        namespace = _webhook_namespace(webhook)
        services = _webhook_services(webhook)
        if "istio.io/tag" in _labels(webhook) or (namespace, revision) in known:
            continue
        if services:
            if not any((p.namespace, _meta(s, "name")) in services for p in planes for s in _all_services(p)):
                problems.append(
                    f"webhook {_meta(webhook, 'name')} calls Service {'/'.join(sorted(services)[0])}, which "
                    "serves no istiod: "
                    f"new Pods in namespaces of revision {revision} are refused; remove the webhook or install "
                    "the istiod"
                )
            continue
        plane = _Plane(namespace, revision)
        _attach_config(plane, configmaps)
        address = _discovery_address(plane)
        url = urlsplit(str(next((c["url"] for c in _client_configs(webhook) if c.get("url")), "")))
        if address and service_of_address(address, namespace) is None:
            host, port = split_host_port(address)
            plane.external = f"{host}:{port or XDS_PORT}"
        elif address:
            problems.append(
                f"webhook {_meta(webhook, 'name')} calls {url.hostname} and mesh config {plane.mesh_name} names "
                f"{address}, "
                "but no such Service exists"
            )
            continue
        elif url.hostname:
            plane.external = f"{url.hostname}:{XDS_PORT}"
        planes.append(plane)
        known.add((namespace, revision))


def _all_services(plane: _Plane) -> list[Object]:
    return [*plane.services, *plane.remotes, *plane.dead]


def _attach_webhooks(plane: _Plane, webhooks: list[Object], planes: list[_Plane]) -> None:
    rivals = sum(1 for p in planes if p.revision == plane.revision)
    own = {(_meta(s, "namespace"), _meta(s, "name")) for s in _all_services(plane)}
    for webhook in webhooks:
        if _labels(webhook).get("istio.io/rev", "default") != plane.revision:
            continue
        services = _webhook_services(webhook)
        if (
            services & own
            or (not services and (rivals == 1 or _webhook_namespace(webhook) == plane.namespace))
            or (services and rivals == 1 and all(namespace == plane.namespace for namespace, _name in services))
        ):
            plane.webhooks.append(webhook)


def _tags(plane: _Plane, objects: Mapping[str, list[Object] | None]) -> list[str]:
    tags = {_labels(w)["istio.io/tag"] for w in plane.webhooks if "istio.io/tag" in _labels(w)}
    for service in objects.get("services") or []:
        labels = _labels(service)
        if (
            "istio.io/tag" in labels
            and labels.get("istio.io/rev") == plane.revision
            and _meta(service, "namespace") == plane.namespace
        ):
            tags.add(labels["istio.io/tag"])
    return sorted(tags)


def _fill(plane: _Plane, objects: Mapping[str, list[Object] | None], shared: set[tuple[str, str]]) -> None:
    plane.service, found, sure = _pick_service(plane, shared, objects.get("deployments") is not None)
    deployment, service = plane.deployment, plane.service
    carrier = service or deployment
    plane.put("namespace", plane.namespace, _kind_where(carrier) if carrier else "webhook", CERTAIN)
    plane.put("name", _meta(carrier, "name") if carrier else None, _kind_where(carrier) if carrier else "none", CERTAIN)
    labelled = deployment or service
    if labelled is not None and _labels(labelled).get("istio.io/rev"):
        plane.put("revision", plane.revision, f"{_kind_where(labelled)}, label istio.io/rev", CERTAIN)
    else:
        plane.put("revision", plane.revision, "webhook label, env REVISION or name", LIKELY)
    webhooks_read = objects.get("mutatingwebhookconfigurations") is not None
    plane.put(
        "tags",
        _tags(plane, objects),
        "labels of MutatingWebhookConfigurations" if webhooks_read else "webhooks could not be read",
        CERTAIN if webhooks_read else UNKNOWN,
    )
    if service is not None:
        address = f"{_meta(service, 'name')}.{_meta(service, 'namespace')}.svc:{XDS_PORT}"
        plane.put("address", address, f"{_kind_where(service)}: {found}", sure)
    elif plane.external:
        known = bool(_discovery_address(plane))
        plane.put(
            "address",
            plane.external,
            f"ConfigMap {plane.mesh_name}, discoveryAddress" if known else "host of the injection webhook's URL",
            CERTAIN if known else GUESS,
        )
    else:
        plane.put("address", None, found, UNKNOWN)
    plane.put("cluster_id", *_cluster_id(plane))
    trust = _trust_domain(plane)
    plane.put("mesh_id", *_mesh_id(plane, trust[0]))
    plane.put("network", *_network(plane, objects))
    plane.put("trust_domain", *trust)
    plane.put("version", *_version(plane))
    plane.put("ready", *_ready(plane, objects))


def _kind_where(obj: Object) -> str:
    kind = "Deployment" if "template" in (obj.get("spec") or {}) else "Service"
    return f"{kind} {_where(obj)}"


def _trust_domain(plane: _Plane) -> tuple[str | None, str, str]:
    if plane.mesh is None:
        return None, "no mesh ConfigMap to read", UNKNOWN
    domain = plane.mesh.get("trustDomain")
    if domain:
        return str(domain), f"ConfigMap {plane.mesh_name}, trustDomain", CERTAIN
    return "cluster.local", f"ConfigMap {plane.mesh_name} sets none: Istio's default", LIKELY


def _mesh_id(plane: _Plane, trust_domain: str | None) -> tuple[str | None, str, str]:
    value = ((plane.values or {}).get("global") or {}).get("meshID")
    if value:
        return str(value), f"ConfigMap {plane.values_name}, global.meshID", CERTAIN
    value = ((plane.mesh or {}).get("defaultConfig") or {}).get("meshId")
    if value:
        return str(value), f"ConfigMap {plane.mesh_name}, defaultConfig.meshId", CERTAIN
    if trust_domain is None:
        return None, "neither injector values nor mesh config to read", UNKNOWN
    container = _discovery_container(plane.deployment) if plane.deployment else None
    other = _env(container, "SHARED_MESH_CONFIG")[1] if container else None
    if other:
        return trust_domain, f"the trust domain, unless ConfigMap {other} (SHARED_MESH_CONFIG) sets one", GUESS
    return trust_domain, "no mesh ID is set: the trust domain", CERTAIN if plane.values is not None else LIKELY


def _network(plane: _Plane, objects: Mapping[str, list[Object] | None]) -> tuple[str | None, str, str]:
    value = ((plane.values or {}).get("global") or {}).get("network")
    if value:
        return str(value), f"ConfigMap {plane.values_name}, global.network", CERTAIN
    for namespace in objects.get("namespaces") or []:
        label = _labels(namespace).get("topology.istio.io/network")
        if _meta(namespace, "name") == plane.namespace and label:
            return label, f"Namespace {plane.namespace}, label topology.istio.io/network", LIKELY
    path = next((m["network"] for m in _inject_paths(plane) if m["network"]), None)
    if path:
        return path, "injection webhook, path", LIKELY
    if plane.values is not None:
        return None, f"ConfigMap {plane.values_name} sets none", CERTAIN
    return None, "no injector values to read, no namespace label", UNKNOWN


def _version(plane: _Plane) -> tuple[str | None, str, str]:
    tag = str(((plane.values or {}).get("global") or {}).get("tag") or "") or None
    if plane.deployment is None:
        if plane.dead and tag:
            return tag, f"ConfigMap {plane.values_name}, global.tag; no Deployment was seen", GUESS
        return None, "istiod runs elsewhere; labels here tell the chart's version only", UNKNOWN
    container = _discovery_container(plane.deployment) or {}
    version = image_version(str(container.get("image") or ""))
    where = f"Deployment {_where(plane.deployment)}"
    if version:
        return version, f"{where}, image tag", CERTAIN
    labels = _labels(plane.deployment)
    if labels.get("app.kubernetes.io/version"):
        return labels["app.kubernetes.io/version"], f"{where}, label app.kubernetes.io/version (the chart's)", LIKELY
    chart = re.search(r"-(v?\d+\.\d+.*)$", labels.get("helm.sh/chart", ""))
    if chart:
        return chart[1], f"{where}, label helm.sh/chart", LIKELY
    if tag:
        return tag, f"ConfigMap {plane.values_name}, global.tag", LIKELY
    return None, f"{where}: image by digest, no version label", UNKNOWN


def _ready_endpoints(service: Object, slices: Iterable[Object]) -> int:
    count = 0
    for piece in slices:
        if _meta(piece, "namespace") != _meta(service, "namespace"):
            continue
        if _labels(piece).get("kubernetes.io/service-name") != _meta(service, "name"):
            continue
        for endpoint in piece.get("endpoints") or []:
            # the API says: no value means ready
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                count += len(endpoint.get("addresses") or [])
    return count


def _ready(plane: _Plane, objects: Mapping[str, list[Object] | None]) -> tuple[bool | None, str, str]:
    parts: list[str] = []
    if plane.deployment is not None:
        ready = int((plane.deployment.get("status") or {}).get("readyReplicas") or 0)
        parts.append(f"Deployment {_where(plane.deployment)}: {ready} ready")
        if ready < 1:
            return False, parts[0], CERTAIN
    if plane.service is None:
        if plane.external:
            return None, "istiod is outside the cluster and no Service stands for it", UNKNOWN
        return False, "no Service: proxies cannot reach it", CERTAIN
    if (plane.service.get("spec") or {}).get("type") == "ExternalName":
        return None, "ExternalName: whether the host answers is not known here", UNKNOWN
    if objects.get("endpointslices") is None:
        return (True, f"{parts[0]}; EndpointSlices could not be read", LIKELY) if parts else (None, "not read", UNKNOWN)
    endpoints = _ready_endpoints(plane.service, objects.get("endpointslices") or [])
    parts.append(f"EndpointSlices of Service {_where(plane.service)}: {endpoints} ready")
    sure = CERTAIN if plane.service not in plane.remotes else LIKELY
    return endpoints > 0, "; ".join(parts), sure


def _serves_default(plane: _Plane, objects: Mapping[str, list[Object] | None]) -> bool:
    if objects.get("mutatingwebhookconfigurations") is None:
        return plane.revision == "default"
    return any(_is_default_injector(w) for w in plane.webhooks)


# --- problems ------------------------------------------------------------


def _plane_problems(plane: _Plane, objects: Mapping[str, list[Object] | None], deployments_read: bool) -> list[str]:
    found: list[str] = []
    deployment, service = plane.deployment, plane.service
    if deployment is not None:
        spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
        where = f"Deployment {_where(deployment)}"
        if _meta(deployment, "deletionTimestamp"):
            found.append(f"{where} is being deleted")
        elif spec.get("replicas", 1) == 0:
            found.append(f"{where} has 0 replicas (its condition Available still says True)")
        elif not status.get("readyReplicas"):
            conditions = {c.get("type"): c for c in status.get("conditions") or []}
            failure = conditions.get("ReplicaFailure") or {}
            why = f": {failure.get('message')}" if failure.get("status") == "True" else ""
            found.append(f"{where} has no ready Pod{why}")
        if not plane.services and not plane.remotes and objects.get("services") is not None:
            found.append(f"{where} has no Service with port {XDS_PORT}: proxies cannot reach it")
        container = _discovery_container(deployment) or {}
        entries = [e.get("value") for e in container.get("env") or [] if e.get("name") == "CLUSTER_ID"]
        if len(set(entries)) > 1:
            found.append(f"{where} sets CLUSTER_ID {len(entries)} times; the last one counts: {entries[-1]}")
    if service is not None and service in plane.dead:
        found.append(
            f"Service {_where(service)} selects no istiod Deployment: nobody answers at {plane.record['address']}"
            if deployments_read
            else f"Service {_where(service)}: its Deployment could not be read"
        )
    if (
        deployment is not None
        and plane.record["ready"] is False
        and (deployment.get("status") or {}).get("readyReplicas")
    ):
        found.append(f"Service {_where(service)} has no ready endpoint" if service else f"{plane.label} has no Service")
    elif service is not None and service in plane.remotes and plane.record["ready"] is False:
        found.append(f"Service {_where(service)} stands for a remote istiod and has no ready endpoint")
    if service is not None and service_of_address(_discovery_address(plane), plane.namespace):
        target = service_of_address(_discovery_address(plane), plane.namespace)
        exists = {(_meta(s, "namespace"), _meta(s, "name")) for s in objects.get("services") or []}
        if target not in exists:
            found.append(
                f"ConfigMap {plane.mesh_name}: discoveryAddress {_discovery_address(plane)} names a Service that "
                "does not "
                f"exist; use {plane.record['address']}"
            )
    given = str(((plane.values or {}).get("global") or {}).get("network") or "")
    for namespace in objects.get("namespaces") or []:
        label = _labels(namespace).get("topology.istio.io/network")
        if _meta(namespace, "name") == plane.namespace and label and given and label != given:
            found.append(
                f"Namespace {plane.namespace} is labelled network {label}, but the injector of {plane.label} says "
                f"{given}"
            )
    return found


def _cluster_problems(
    planes: list[_Plane], objects: Mapping[str, list[Object] | None], webhooks: list[Object]
) -> list[str]:
    found: list[str] = []
    if planes and objects.get("mutatingwebhookconfigurations") is not None:
        if not any(_serves_default(p, objects) for p in planes):
            revisions = ", ".join(sorted({p.revision for p in planes}))
            found.append(
                "no default injector: label istio-injection=enabled does nothing here, use istio.io/rev "
                f"(revisions: {revisions})"
            )
        known = {p.revision for p in planes}
        for webhook in webhooks:
            labels = _labels(webhook)
            if "istio.io/tag" in labels and labels.get("istio.io/rev") not in known:
                found.append(
                    f"tag {labels['istio.io/tag']} points to revision {labels.get('istio.io/rev')}, which no "
                    "istiod serves"
                )
        served = known | {tag for p in planes for tag in p.record["tags"]}
        for namespace in objects.get("namespaces") or []:
            wanted = _labels(namespace).get("istio.io/rev")
            if wanted and wanted not in served and "istio-injection" not in _labels(namespace):
                found.append(f"Namespace {_meta(namespace, 'name')} asks for revision {wanted}, which no istiod serves")
    return found


# --- choice ------------------------------------------------------------


class ChoiceError(ValueError):
    """No single control plane is left. The message lists the candidates and how to choose."""


def describe(record: Mapping[str, Any]) -> str:
    """One candidate in a message: namespace/name, revision, tags, state."""
    state = {True: "ready", False: "not ready"}.get(record["ready"], "state unknown")
    tags = f", tags {', '.join(record['tags'])}" if record["tags"] else ""
    return f"{record['namespace']}/{record['name'] or record['address']} (revision {record['revision']}{tags}, {state})"


def choose(
    found: Mapping[str, Any],
    *,
    namespace_labels: Mapping[str, str] | None = None,
    for_namespace: str | None = None,
    revision: str | None = None,
    namespace: str | None = None,
) -> Object:
    """The one control plane that fits, or ChoiceError.

    found: result of `discover()`. namespace_labels: labels of the namespace `for_namespace`. `revision` takes a
    revision or a tag. Where a namespace carries both labels, istio-injection wins, as it does in the webhooks.
    """
    istiods: list[Object] = list(found["istiods"])
    if not istiods:
        raise ChoiceError("no istiod found: no Service with port 15012 stands for one; install Istio first")
    left = list(enumerate(istiods))
    narrowed: list[str] = []
    if namespace:
        left = [(i, r) for i, r in left if r["namespace"] == namespace]
        narrowed.append(f"in namespace {namespace}")
    if revision:
        left = [(i, r) for i, r in left if revision == r["revision"] or revision in r["tags"]]
        narrowed.append(f"of revision or tag {revision}")
    if for_namespace:
        labels = namespace_labels or {}
        injection, wanted = labels.get("istio-injection"), labels.get("istio.io/rev")
        if injection == "enabled":
            left = [(i, r) for i, r in left if i in found["default_injectors"]]
            narrowed.append(f"for namespace {for_namespace} (istio-injection=enabled, the default injector)")
        elif wanted and injection is None:
            left = [(i, r) for i, r in left if wanted == r["revision"] or wanted in r["tags"]]
            narrowed.append(f"for namespace {for_namespace} (istio.io/rev={wanted})")
        else:
            narrowed.append(f"for namespace {for_namespace} (which carries no injection label)")
    if len(left) == 1:
        return left[0][1]
    criteria = " ".join(narrowed)
    if not left:
        raise ChoiceError(f"no istiod {criteria}; found: {'; '.join(describe(r) for r in istiods)}")
    raise ChoiceError(
        f"{len(left)} istiods {criteria}".rstrip()
        + f": {'; '.join(describe(r) for _i, r in left)}; choose with revision, namespace or for_namespace"
    )
