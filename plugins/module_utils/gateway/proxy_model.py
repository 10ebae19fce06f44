# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The objects that determine a Gateway's proxy and their relations (pure).

No verdicts here: see `proxy_checks.py`; `proxy_record.py` builds the record that users see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from ..istiod import discovery as istio
from ..istiod.objects import flags
from ..k8s.fields import (
    Json,
    dig,
    labels_of,
    listed,
    mapping,
    mappings,
    meta,
    name_of,
    namespace_of,
    selects,
    spec_of,
    status_of,
    texts,
)
from ..k8s.names import split_host_port
from ..k8s.pods import is_ready
from .controller import AUTO_MTLS, controller_of, switch
from .overlays import Overlay, overlays_of
from .parameter_kinds import CONTROLLERS, PARAMETER_KINDS, V1_ANNOTATION
from .products import V1_PARAMETERS, ParameterKind
from .proxy_objects import (
    by_name,
    container_names,
    container_status,
    containers,
    mesh_env,
    owners_of,
    revision_of,
    template_of,
)
from .proxy_settings import SETTINGS, deep_merge
from .versions import object_names

GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
CLASS_LABEL = "gateway.networking.k8s.io/gateway-class-name"
ROOT_CERT = "istio-ca-root-cert"
PROXY_CONTAINER = "kgateway-proxy"
MESH_CONTAINERS = ("sds", "istio-proxy")


@dataclass(frozen=True)
class Want:
    """The caller's expectations: container names, the istiod (a record of istiod_info), the name of the parameters."""

    expect: tuple[str, ...] | None = None
    istiod: Json | None = None
    parameters: str | None = None


@dataclass
class Objects:
    """Objects read from a cluster. `parameters` has None for a kind that is not served, no key for one not read."""

    gateways: Sequence[Json]
    classes: Sequence[Json]
    parameters: Mapping[ParameterKind, Sequence[Json] | None]
    deployments: Sequence[Json]  # of all namespaces: the proxies', the controllers', istiods'
    services: Sequence[Json]  # of all namespaces
    replica_sets: Sequence[Json]
    pods: Sequence[Json]
    config_maps: Sequence[Json]  # the proxies' bootstraps, istiod's root certificates and mesh configs
    namespaces: Sequence[Json]

    @cached_property
    def istiods(self) -> dict[str, Any]:
        """Result of `discovery.discover()`."""
        return istio.discover(
            {
                "deployments": list(self.deployments),
                "services": list(self.services),
                "configmaps": list(self.config_maps),
            }
        )


@dataclass(frozen=True)
class ParametersRef:
    """One reference to parameters, of the GatewayClass or of the Gateway.

    ``is_literal``: False for one whose kind was replaced, because kgateway ignores the kind in that of a class.
    """

    group: str
    kind: str
    namespace: str
    name: str
    by: str  # title of the referring object
    is_literal: bool = True

    @property
    def title(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def known(self) -> ParameterKind | None:
        return next((k for k in PARAMETER_KINDS if (k.group, k.kind) == (self.group, self.kind)), None)


@dataclass
class ProxyModel:
    """One Gateway (None: it does not exist) with all related objects."""

    objects: Objects
    namespace: str
    name: str
    want: Want = field(default_factory=Want)

    def __post_init__(self) -> None:
        o = self.objects
        self.gateway = by_name(o.gateways, self.namespace, self.name)
        self.gateway_class = by_name(o.classes, None, str(spec_of(self.gateway).get("gatewayClassName") or ""))
        self.controller_name = str(spec_of(self.gateway_class).get("controllerName") or "")
        self.controller = controller_of(o.deployments, self.controller_name, self.namespace)
        self.deployment = self._child(o.deployments, _is_proxy)
        self.service = self._child(o.services, self._is_of_proxy)
        self.bootstrap = self._child(o.config_maps, self._is_of_proxy)
        self.replica_set = self._newest_replica_set()
        self.pods = sorted(self._pods(), key=name_of)
        self.current_pods = [p for p in self.pods if self._is_current(p)]
        self.refs = self._refs()
        self.spec: Json = {}
        self.overlays: list[Overlay] = []
        for ref in self.refs:
            own = spec_of(self.parameters(ref))
            self.spec = deep_merge(self.spec, own)
            self.overlays += overlays_of(own, ref.title)

    # -- objects -----------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        return f"Gateway {self.namespace}/{self.name}"

    @property
    def is_foreign(self) -> bool:
        """Whether it belongs to another controller and has no object of kgateway."""
        named = self.controller_name and self.controller_name not in CONTROLLERS
        return bool(named) and (self.deployment is None or not _is_proxy(self.deployment))

    def _here(self, objects: Sequence[Json]) -> list[Json]:
        return [o for o in objects if namespace_of(o) == self.namespace]

    def _child(self, objects: Sequence[Json], is_preferred: Callable[[Json], bool]) -> Json | None:
        """The object that the controller created for the Gateway: owned by it, or with a name of its and no owner.

        A controller that served the Gateway before or afterwards has created others.
        """
        here = sorted(self._here(objects), key=name_of)
        owned = [o for o in here if _is_owned(o, self.gateway)]
        orphans = [o for name in object_names(self.name) for o in here if name_of(o) == name and not owners_of(o)]
        return next(iter([*filter(is_preferred, owned), *owned, *orphans]), None)

    def _is_of_proxy(self, obj: Json) -> bool:
        """Whether an object of the Gateway has the name that kgateway gives all of them."""
        names = object_names(self.name) if self.deployment is None else (name_of(self.deployment),)
        return name_of(obj) in names

    def _newest_replica_set(self) -> str | None:
        """Name of the Deployment's newest ReplicaSet."""
        revision = revision_of(self.deployment)
        for one in sorted(self.objects.replica_sets, key=name_of):
            if revision_of(one) == revision and _is_owned(one, self.deployment):
                return name_of(one)
        return None

    def _pods(self) -> list[Json]:
        """The proxy's Pods by their owners; by labels as far as ReplicaSets or the Deployment are not known."""
        here = self._here(self.objects.pods)
        sets = [name_of(one) for one in self._here(self.objects.replica_sets) if _is_owned(one, self.deployment)]
        if sets:
            return [p for p in here if any(ref.get("name") in sets for ref in owners_of(p))]
        selector = texts(dig(spec_of(self.deployment), "selector", "matchLabels"))
        if selector:
            return [p for p in here if selects(selector, labels_of(p))]
        return [p for p in here if labels_of(p).get(GATEWAY_LABEL) in object_names(self.name)]

    def _is_current(self, pod: Json) -> bool:
        """Whether the Pod has the newest template and is alive; any living Pod if the newest ReplicaSet is unknown."""
        if meta(pod).get("deletionTimestamp") or status_of(pod).get("phase") in ("Failed", "Succeeded"):
            return False
        return self._is_newest(pod)

    def _is_newest(self, pod: Json) -> bool:
        return self.replica_set is None or any(ref.get("name") == self.replica_set for ref in owners_of(pod))

    @property
    def ended_pods(self) -> list[Json]:
        """Failed Pods of the newest template; the Deployment replaces them."""
        return [p for p in self.pods if status_of(p).get("phase") == "Failed" and self._is_newest(p)]

    @property
    def former_pods(self) -> list[Json]:
        """Ready Pods of an older template, which serve clients with the old settings."""
        return [p for p in self.pods if p not in self.current_pods and is_ready(p)]

    @property
    def serving(self) -> str:
        """The Pods that serve clients: `current` or `former`, `both` during a rollout, or `none`."""
        current, former = any(map(is_ready, self.current_pods)), bool(self.former_pods)
        return {(True, True): "both", (True, False): "current", (False, True): "former"}.get((current, former), "none")

    @property
    def root_cert(self) -> bool:
        """Whether istiod's root certificate is in the Gateway's namespace."""
        return by_name(self.objects.config_maps, self.namespace, ROOT_CERT) is not None

    @property
    def injected_by(self) -> str:
        """The label of the Gateway's namespace that enables injection for the proxy's next Pods; "" when none."""
        template = template_of(self.deployment)
        if {**texts(meta(template).get("annotations")), **labels_of(template)}.get(
            "sidecar.istio.io/inject"
        ) == "false":
            return ""
        labels = labels_of(by_name(self.objects.namespaces, None, self.namespace))
        if labels.get("istio-injection"):
            return "istio-injection=enabled" if labels["istio-injection"] == "enabled" else ""
        return f"istio.io/rev={labels['istio.io/rev']}" if labels.get("istio.io/rev") else ""

    @property
    def addresses(self) -> list[str]:
        """Addresses for clients: those of the LoadBalancer, else those in the Gateway's status."""
        if spec_of(self.service).get("type") == "LoadBalancer":
            ingress = mappings(mapping(status_of(self.service).get("loadBalancer")).get("ingress"))
            return [str(i.get("hostname") or i.get("ip")) for i in ingress if i.get("hostname") or i.get("ip")]
        return [str(a["value"]) for a in mappings(status_of(self.gateway).get("addresses")) if a.get("value")]

    # -- parameters --------------------------------------------------------------------------------------------------

    def _refs(self) -> list[ParametersRef]:
        """The class's and the Gateway's parameters in the order they are merged."""
        of_class = mapping(spec_of(self.gateway_class).get("parametersRef"))
        own = mapping(mapping(spec_of(self.gateway).get("infrastructure")).get("parametersRef"))
        annotated = texts(meta(self.gateway).get("annotations")).get(V1_ANNOTATION)
        if not own and annotated and V1_PARAMETERS in CONTROLLERS.get(self.controller_name, ()):
            own = {"group": V1_PARAMETERS.group, "kind": V1_PARAMETERS.kind, "name": annotated}
        of, namespace = f"GatewayClass {name_of(self.gateway_class)}", str(of_class.get("namespace") or "")
        found = [
            ParametersRef(str(ref.get("group") or ""), str(ref.get("kind") or ""), place, str(ref.get("name")), by)
            for ref, place, by in ((of_class, namespace, of), (own, self.namespace, self.title))
            if ref
        ]
        return [self._as_read(ref) if ref.by == of else ref for ref in found]

    def _as_read(self, ref: ParametersRef) -> ParametersRef:
        """The reference of a class as kgateway reads it: by namespace and name, whatever kind it has."""
        accepted = CONTROLLERS.get(self.controller_name, ())
        if not accepted or ref.known in accepted:
            return ref
        for kind in accepted:
            if by_name(self.objects.parameters.get(kind) or (), ref.namespace, ref.name):
                return replace(ref, group=kind.group, kind=kind.kind, is_literal=False)
        return replace(ref, is_literal=False)

    def served(self, ref: ParametersRef) -> bool:
        """Whether the API server serves the kind in the reference."""
        return ref.known is None or self.objects.parameters.get(ref.known, ()) is not None

    def was_read(self, ref: ParametersRef) -> bool:
        """Whether parameters of the kind in the reference were read."""
        return ref.known in self.objects.parameters

    def of_kind(self, ref: ParametersRef) -> Sequence[Json]:
        """All parameters of the kind in the reference."""
        return (self.objects.parameters.get(ref.known) if ref.known else None) or ()

    def parameters(self, ref: ParametersRef) -> Json | None:
        """The referenced parameters; None when they do not exist, or the controller does not read their kind."""
        readable = not CONTROLLERS.get(self.controller_name) or ref.known in CONTROLLERS[self.controller_name]
        return by_name(self.of_kind(ref), ref.namespace, ref.name) if readable else None

    @property
    def parameters_title(self) -> str:
        """The source of the proxy's settings, for messages."""
        return self.refs[-1].title if self.refs else f"{self.title} (no parametersRef, kgateway's defaults apply)"

    def set_by(self, option: str) -> str:
        """The source of an option of istioProxyContainer, for messages: the last of the parameters that set it."""
        env = SETTINGS[option][0]
        for overlay in reversed(self.overlays):
            if overlay.changes_env("istio-proxy") and self.settings()[env] != self._typed_settings()[env]:
                return overlay.title
        for ref in reversed(self.refs):
            if _istio_proxy(spec_of(self.parameters(ref))).get(option):
                return ref.title
        return f"{self.refs[-1].title} (kgateway's default)" if self.refs else self.parameters_title

    def scaled_down_by(self) -> str:
        """What sets replicas to 0, for messages; "" when the last of what sets replicas sets more, or nothing does."""
        patches = [(o.replicas, f"{o.title} sets replicas") for o in self.overlays]
        fields = [
            (
                dig(spec_of(self.parameters(ref)), "kube", "deployment", "replicas"),
                f"{ref.title} sets deployment.replicas",
            )
            for ref in self.refs
        ]
        found = [(replicas, text) for replicas, text in (*fields, *patches) if replicas is not None]
        return found[-1][1] if found and found[-1][0] == 0 else ""

    @property
    def autoscaler(self) -> str:
        """The overlay with a HorizontalPodAutoscaler, for messages; "" when there is none."""
        return next((o.title for o in self.overlays if o.name == "horizontalPodAutoscaler"), "")

    @property
    def is_rendered_otherwise(self) -> bool:
        """Whether settings of istio-proxy may differ from the fields for them; then the Deployment has the settings."""
        patched = any(overlay.changes_env("istio-proxy") for overlay in self.overlays)
        return patched or not all(ref.is_literal for ref in self.refs)

    def explicit_settings(self) -> dict[str, str]:
        """The env of the container istio-proxy that the parameters set."""
        explicit = _istio_proxy(self.spec)
        typed = {env: str(explicit[option]) for option, (env, _default) in SETTINGS.items() if explicit.get(option)}
        if not self.is_rendered_otherwise:
            return typed
        for overlay in self.overlays:
            typed |= {env: value for env, value in overlay.env("istio-proxy").items() if env in dict(SETTINGS.values())}
        return {**typed, **mesh_env(containers(self.deployment))}

    def settings(self) -> dict[str, str]:
        """explicit_settings() with kgateway's defaults."""
        return {**dict(SETTINGS.values()), **self.explicit_settings()}

    def _typed_settings(self) -> dict[str, str]:
        """settings() without overlays."""
        explicit = _istio_proxy(self.spec)
        return {env: str(explicit.get(option) or default) for option, (env, default) in SETTINGS.items()}

    # -- containers --------------------------------------------------------------------------------------------------

    @property
    def auto_mtls(self) -> bool | None:
        return switch(self.controller, AUTO_MTLS)

    @property
    def mesh_wanted(self) -> bool | None:
        """Whether sds and istio-proxy are expected: by `expect`, else by istio settings in the parameters."""
        if self.want.expect is not None:
            return any(name in self.want.expect for name in MESH_CONTAINERS)
        return True if self.explicit_settings() else None

    @property
    def switched(self) -> bool | None:
        """The effect of AUTO_MTLS on this proxy; None when unknown, or for an agentgateway instead of Envoy."""
        other = self.deployment is not None and PROXY_CONTAINER not in container_names(self.deployment)
        return None if other else self.auto_mtls

    @property
    def in_mesh(self) -> bool:
        """Whether the proxy has istio-proxy: by `expect`, else by the controller's switch, else by the Deployment."""
        deployed = "istio-proxy" in container_names(self.deployment)
        if self.deployment is not None and self.removed_by("istio-proxy"):
            return deployed
        if self.want.expect is not None:
            return "istio-proxy" in self.want.expect
        return self.switched if self.switched is not None else deployed

    def removed_by(self, container: str) -> str:
        """The overlay that may remove a container which the Deployment lacks; "" when none does."""
        if container in container_names(self.deployment):
            return ""
        return next((overlay.title for overlay in reversed(self.overlays) if overlay.removes(container)), "")

    def container_faults(self, have: Sequence[str]) -> tuple[list[str], list[str]]:
        """(missing, unexpected) container names, by `expect` or else by the controller's switch.

        What an overlay adds is not unexpected; what it may remove is missing only if it is in `expect`.
        """
        if self.want.expect is not None:
            wanted: Sequence[str] = self.want.expect
            extra = [n for n in have if n not in wanted and not self._is_added(n)]
            return [n for n in wanted if n not in have], extra
        if self.switched is None:
            return [], []
        there = [n for n in MESH_CONTAINERS if n in have and not self._is_added(n)]
        missing = [n for n in MESH_CONTAINERS if n not in have and not self.removed_by(n)]
        return (missing, []) if self.switched else ([], there)

    def _is_added(self, container: str) -> bool:
        return any(overlay.adds(container) or not overlay.is_known for overlay in self.overlays)

    @property
    def certified(self) -> bool:
        """Whether a current Pod got a certificate: sds becomes ready only after that."""
        return any(
            all((container_status(pod, name) or {}).get("ready") for name in MESH_CONTAINERS)
            for pod in self.current_pods
        )

    # -- istiod ------------------------------------------------------------------------------------------------------

    def target(self) -> tuple[str, str] | None:
        """(namespace, name) of the Service in istioDiscoveryAddress, None when it is outside the cluster."""
        address = self.settings()["CA_ADDR"]
        target = istio.service_of_address(address)
        if target:
            return target
        host = split_host_port(address)[0]
        for service in self.objects.services:
            if host in (spec_of(service).get("clusterIP"), *listed(spec_of(service).get("clusterIPs"))):
                return namespace_of(service), name_of(service)
        parts = host.split(".")
        if len(parts) == 1 and parts[0] and ":" not in parts[0]:
            return self.namespace, parts[0]
        known = {namespace_of(s) for s in self.objects.services}
        return (parts[1], parts[0]) if len(parts) == 2 and parts[1] in known else None

    def plane_at(self, target: tuple[str, str] | None) -> Json | None:
        """The istiod behind a Service, by any of its Services."""
        place = self._index(target)
        return None if place is None else self.objects.istiods["istiods"][place]

    @property
    def certificate_hosts(self) -> list[str]:
        """Names in the certificate of the istiod that the settings point to."""
        place = self._index(self.target())
        return [] if place is None else self.objects.istiods["hosts"][place]

    def _index(self, target: tuple[str, str] | None) -> int | None:
        return self.objects.istiods["serving"].get("/".join(target)) if target else None

    @property
    def plane(self) -> Json | None:
        """The istiod that the proxy's settings point to: a record of istiod_info without its cluster."""
        return self.plane_at(self.target())

    @property
    def target_is_empty(self) -> bool:
        """Whether the Service that the settings point to selects no Deployment's Pods."""
        target = self.target()
        service = by_name(self.objects.services, *target) if target else None
        selector = texts(spec_of(service).get("selector"))
        templates = [template_of(d) for d in self.objects.deployments]
        return bool(selector) and not any(selects(selector, labels_of(t)) for t in templates)

    @property
    def expected_istiod(self) -> Json:
        """The istiod that the settings must match: the caller's, else the one in the settings, else the only one."""
        found = self.objects.istiods["istiods"]
        return self.want.istiod or self.plane or (found[0] if len(found) == 1 else {})

    @property
    def istiod_hint(self) -> str:
        """The address of the expected istiod, for messages."""
        known = [r["address"] for r in self.objects.istiods["istiods"] if r["address"]]
        expected = (self.want.istiod or {}).get("address")
        return f"istiod is at {expected or ' or '.join(known) or 'no Service in this cluster'}"

    def accepted_ids(self) -> list[str]:
        """Cluster IDs that this istiod issues certificates for, its configured one first; empty when unknown."""
        right = self.plane or self.expected_istiod
        own = right.get("cluster_id") or (self.want.istiod or {}).get("cluster_id")
        if not own:
            return []
        aliases = _cluster_aliases(self.deployment_of(right), str(own), str(right.get("version") or ""))
        return [str(own), *aliases]

    def deployment_of(self, istiod: Json) -> Json | None:
        """The Deployment of an istiod, which may have another name than its Service."""
        found = self.objects.istiods
        for record, key in zip(found["istiods"], found["deployments"], strict=True):
            if key and all(record[name] == istiod.get(name) for name in ("namespace", "name", "revision")):
                return by_name(self.objects.deployments, *key)
        return None


def _is_owned(obj: Json, owner: Json | None) -> bool:
    uid = meta(owner).get("uid")
    return bool(uid) and any(ref.get("uid") == uid for ref in owners_of(obj))


def _is_proxy(deployment: Json) -> bool:
    return PROXY_CONTAINER in container_names(deployment)


def _istio_proxy(spec: Json) -> Json:
    """The parameters' settings of the container istio-proxy."""
    return mapping(mapping(mapping(spec.get("kube")).get("istio")).get("istioProxyContainer"))


def proxy_models(
    objects: Objects, want: Want | None = None, namespace: str | None = None, name: str | None = None
) -> list[ProxyModel]:
    """One model per Gateway (of `namespace`), or the one of that name, even if it does not exist.

    Without a name, Gateways of other controllers without a proxy of kgateway are omitted.
    """
    want = want or Want()
    if name:
        return [ProxyModel(objects, str(namespace), name, want)]
    places = sorted((namespace_of(g), name_of(g)) for g in objects.gateways)
    found = [ProxyModel(objects, *place, want) for place in places if namespace in (None, place[0])]
    return [s for s in found if not s.is_foreign]


def _cluster_aliases(deployment: Json | None, cluster_id: str, version: str) -> list[str]:
    """Aliases of its cluster ID that an istiod accepts for certificates (Istio 1.27 and later)."""
    numbers = [int(n) for n in version.lstrip("v").split("-")[0].split(".")[:2] if n.isdigit()]
    if len(numbers) == 2 and numbers < [1, 27]:
        return []
    explicit = [value for c in containers(deployment) for value in flags(c, "clusterAliases") if value]
    pairs = [pair.partition("=") for value in explicit for pair in value.split(",")]
    return [alias for alias, _sign, of in pairs if of == cluster_id]
