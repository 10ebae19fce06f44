# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Does a Gateway's proxy run as it should, and if not, what is the first cause (pure).

kgateway says True wherever it knows nothing bad, so its conditions alone prove little: containers, their settings and
Pods are compared with what GatewayParameters and istiod say. The checks run from cause to symptom; the first that does
not hold is the verdict.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import istiod as istio
from . import readiness
from .parameter_kinds import CONTROLLERS, GATEWAY_PARAMETERS
from .readiness import Verdict, failed, waiting

Json = dict[str, Any]

GATEWAY_LABEL = "gateway.networking.k8s.io/gateway-name"
ROOT_CERT = "istio-ca-root-cert"
MESH_CONTAINERS = ("sds", "istio-proxy")
AUTO_MTLS, INTEGRATION = "KGW_ENABLE_ISTIO_AUTO_MTLS", "KGW_ENABLE_ISTIO_INTEGRATION"

#: option of GatewayParameters -> (env of the container istio-proxy, kgateway's default)
SETTINGS: dict[str, tuple[str, str]] = {
    "istioDiscoveryAddress": ("CA_ADDR", "istiod.istio-system.svc:15012"),
    "istioMetaClusterId": ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
    "istioMetaMeshId": ("ISTIO_META_MESH_ID", "cluster.local"),
}

_IMAGE_TROUBLE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


@dataclass(frozen=True)
class Want:
    """What the caller asks for: container names, the istiod (a record of istiod_info), the name of the parameters."""

    expect: tuple[str, ...] | None = None
    istiod: Json | None = None
    parameters: str | None = None


@dataclass
class Situation:
    """All objects that say something about one Gateway. None of a list means: not readable or not served."""

    namespace: str
    name: str
    gateway: Json | None
    classes: Sequence[Json]
    parameters: Sequence[Json] | None
    deployments: Sequence[Json]  # of the whole cluster: the proxy's, the controllers', istiods'
    services: Sequence[Json]  # of the whole cluster
    replica_sets: Sequence[Json]
    pods: Sequence[Json]
    root_cert: bool | None = None
    want: Want = field(default_factory=Want)

    def __post_init__(self) -> None:
        self.gateway_class = _by_name(self.classes, None, str(_spec(self.gateway).get("gatewayClassName") or ""))
        self.deployment = self._child(self.deployments)
        self.service = self._child(self.services)
        self.controller = _controller_of(self.deployments, self.namespace)
        self.istiods = istio.discover({"deployments": list(self.deployments), "services": list(self.services)})
        self.spec = self._merged_parameters()

    @property
    def title(self) -> str:
        return f"Gateway {self.namespace}/{self.name}"

    def _child(self, objects: Sequence[Json]) -> Json | None:
        """The object the controller made for the Gateway: owned by it, or of its name."""
        here = [o for o in objects if _meta(o).get("namespace") == self.namespace]
        uid = _meta(self.gateway).get("uid")
        for obj in here:
            if uid and any(ref.get("uid") == uid for ref in _meta(obj).get("ownerReferences") or ()):
                return obj
        return _by_name(here, self.namespace, self.name)

    @property
    def auto_mtls(self) -> bool | None:
        return _switch(self.controller, AUTO_MTLS)

    @property
    def expected(self) -> tuple[str, ...] | None:
        """Container names the Pods must have: as asked for, else what the controller's switch means."""
        if self.want.expect:
            return self.want.expect
        if self.auto_mtls is None:
            return None
        return ("kgateway-proxy", *MESH_CONTAINERS) if self.auto_mtls else ("kgateway-proxy",)

    @property
    def in_mesh(self) -> bool:
        expected = self.expected if self.expected is not None else _container_names(self.deployment)
        return "istio-proxy" in expected

    def parameter_refs(self) -> list[tuple[str, str, str, str]]:
        """(group, kind, namespace, name) of the class's and the Gateway's parameters, in the order they are merged."""
        refs = []
        ref = _spec(self.gateway_class).get("parametersRef")
        if ref:
            refs.append((ref.get("group"), ref.get("kind"), ref.get("namespace") or "", ref.get("name")))
        ref = (_spec(self.gateway).get("infrastructure") or {}).get("parametersRef")
        if ref:
            refs.append((ref.get("group"), ref.get("kind"), self.namespace, ref.get("name")))
        return refs

    def _merged_parameters(self) -> Json:
        merged: Json = {}
        for _group, kind, namespace, name in self.parameter_refs():
            found = _by_name(self.parameters or (), namespace, name) if kind == GATEWAY_PARAMETERS.kind else None
            merged = deep_merge(merged, _spec(found))
        return merged

    def told(self) -> dict[str, str]:
        """The env of the container istio-proxy that the parameters set."""
        istio_proxy = ((self.spec.get("kube") or {}).get("istio") or {}).get("istioProxyContainer") or {}
        return {
            env: str(istio_proxy[option]) for option, (env, _default) in SETTINGS.items() if istio_proxy.get(option)
        }

    def settings(self) -> dict[str, str]:
        """The same with kgateway's defaults."""
        return {**dict(SETTINGS.values()), **self.told()}


# -- small readers ---------------------------------------------------------------------------------------------------


def _meta(obj: Json | None) -> Json:
    return (obj or {}).get("metadata") or {}


def _spec(obj: Json | None) -> Json:
    return (obj or {}).get("spec") or {}


def _status(obj: Json | None) -> Json:
    return (obj or {}).get("status") or {}


def _title(obj: Json) -> str:
    return f"{obj.get('kind')} {_meta(obj).get('namespace')}/{_meta(obj).get('name')}"


def _by_name(objects: Sequence[Json], namespace: str | None, name: str) -> Json | None:
    for obj in objects:
        if _meta(obj).get("name") == name and (namespace is None or _meta(obj).get("namespace") == namespace):
            return obj
    return None


def deep_merge(base: Json, over: Json) -> Json:
    """Dicts merged key by key, the second wins; that is how the controller merges parameters."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = deep_merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _containers(workload: Json | None) -> list[Json]:
    return (_spec(workload).get("template") or {}).get("spec", {}).get("containers") or []


def _container_names(workload: Json | None) -> tuple[str, ...]:
    return tuple(str(c.get("name")) for c in _containers(workload))


def _env(containers: Sequence[Json], container: str) -> dict[str, str]:
    for entry in containers:
        if entry.get("name") == container:
            return {
                str(e.get("name")): str(e.get("value") or "") for e in entry.get("env") or () if "valueFrom" not in e
            }
    return {}


def _mesh_env(containers: Sequence[Json]) -> dict[str, str]:
    env = _env(containers, "istio-proxy")
    return {name: env[name] for name, _default in SETTINGS.values() if name in env}


def _controller_env(deployment: Json) -> list[Json]:
    for container in _containers(deployment):
        env = container.get("env") or []
        if any(str(e.get("name") or "").startswith("KGW_") for e in env):
            return env
    return []


def _controller_of(deployments: Sequence[Json], namespace: str) -> Json | None:
    """The Deployment of the gateway controller: the one with KGW_ settings, nearest one when there are several."""
    found = [d for d in deployments if _controller_env(d)]
    here = [d for d in found if _meta(d).get("namespace") == namespace]
    candidates = here or found
    return candidates[0] if len(candidates) == 1 else None


def _switch(controller: Json | None, name: str) -> bool | None:
    """A switch of the controller as it reads it (Go's ParseBool); None when it cannot be known from here."""
    if controller is None:
        return None
    value: bool | None = False
    for entry in _controller_env(controller):
        if entry.get("name") == name:
            value = (
                None
                if "valueFrom" in entry
                else str(entry.get("value") or "") in ("1", "t", "T", "TRUE", "true", "True")
            )
    return value


def yaml_changes(text: str) -> bool:
    """Whether YAML reads the unquoted text as something else than a string.

    kgateway writes IDs unquoted into its template, so such an ID makes the Deployment invalid (YAML 1.1 and 1.2 rules).
    """
    word = text.strip().lower()
    if word in ("", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf", "-.inf", "+.inf"):
        return True
    number = r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-f_]+|(\d[\d_]*)?\.?\d[\d_]*\.?(e[-+]?\d+)?)"
    sexagesimal = r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.\d*)?"
    date = r"\d{4}-\d{1,2}-\d{1,2}([t ].*)?"
    return bool(re.fullmatch(f"({number})|({sexagesimal})|({date})", word))


# -- checks, from cause to symptom -----------------------------------------------------------------------------------


def _check_gateway(s: Situation) -> Verdict | None:
    return failed(f"{s.title} does not exist") if s.gateway is None else None


def _check_class(s: Situation) -> Verdict | None:
    name = _spec(s.gateway).get("gatewayClassName")
    if s.gateway_class is None:
        known = [str(_meta(c).get("name")) for c in s.classes if _spec(c).get("controllerName") in CONTROLLERS]
        hint = f"use one of: {', '.join(sorted(known))}" if known else "no GatewayClass of a kgateway controller exists"
        return failed(f"GatewayClass {name} does not exist, so nobody serves {s.title}; {hint}")
    controller = _spec(s.gateway_class).get("controllerName")
    verdict = readiness.judge(s.gateway_class)
    if not verdict.ready:
        return Verdict(verdict.state, f"GatewayClass {name} of {controller} is not served: {verdict.reason}")
    if controller not in CONTROLLERS and s.deployment is None:
        return failed(f"GatewayClass {name} belongs to the controller {controller}, which is no kgateway")
    return None


def _check_controller(s: Situation) -> Verdict | None:
    if s.controller is None:
        return None
    if _spec(s.controller).get("replicas") == 0:
        return failed(f"the gateway controller {_title(s.controller)} is scaled to 0: nothing follows changes")
    verdict = readiness.judge(s.controller)
    if verdict.ready:
        return None
    return Verdict(verdict.state, f"the gateway controller {_title(s.controller)} is not ready: {verdict.reason}")


def _accepted(s: Situation) -> Json:
    for condition in _status(s.gateway).get("conditions") or ():
        if condition.get("type") == "Accepted":
            return condition
    return {}


def _check_parameters(s: Situation) -> Verdict | None:
    asked = s.want.parameters
    refs = s.parameter_refs()
    if asked and asked not in [name for _group, _kind, _namespace, name in refs]:
        named = ", ".join(name for _group, _kind, _namespace, name in refs) or "none"
        return failed(f"{s.title} refers to parameters {named}, not to {asked}: set spec.infrastructure.parametersRef")
    allowed = CONTROLLERS.get(str(_spec(s.gateway_class).get("controllerName")))
    for group, kind, namespace, name in refs:
        if allowed and (group, kind) not in [(each.group, each.kind) for each in allowed]:
            right = " or ".join(each.title for each in allowed)
            return failed(f"{s.title}: parametersRef names {kind} of {group}; its controller takes {right}")
        if (group, kind) != (GATEWAY_PARAMETERS.group, GATEWAY_PARAMETERS.kind):
            continue
        if s.parameters is None:
            return failed(
                f"{s.title} refers to {kind} {namespace}/{name}, but this kind is not served: install its CRD"
            )
        if _by_name(s.parameters, namespace, name) is None:
            others = sorted(str(_meta(p).get("namespace")) for p in s.parameters if _meta(p).get("name") == name)
            hint = f"; it exists in {', '.join(others)}, but has to be in the Gateway's namespace" if others else ""
            return failed(f"{kind} {namespace}/{name}, which {s.title} refers to, does not exist{hint}")
    condition = _accepted(s)
    if condition.get("status") == "False" and condition.get("reason") == "InvalidParameters":
        text = f"{s.title}: InvalidParameters: {condition.get('message')}"
        # The object it misses may be there by now; the controller looks again by itself.
        return waiting(text) if "not found" in str(condition.get("message")) else failed(text)
    return None


def _check_generation(s: Situation) -> Verdict | None:
    """Accepted or refused for the generation that is there now; addresses and listeners come later."""
    condition = _accepted(s)
    generation = _meta(s.gateway).get("generation", 0)
    observed = condition.get("observedGeneration")
    if not condition or condition.get("status") == "Unknown":
        return waiting(f"{s.title}: no controller has looked at it yet")
    if observed is not None and observed < generation:
        return waiting(f"{s.title}: the controller has seen generation {observed}, not yet {generation}")
    if condition.get("status") != "True":
        return failed(f"{s.title} is not accepted: {condition.get('reason')}: {condition.get('message')}")
    return None


def _check_switch(s: Situation) -> Verdict | None:
    if s.want.expect is None or s.controller is None:
        return None
    wanted = [name for name in MESH_CONTAINERS if name in s.want.expect]
    if wanted and s.auto_mtls is False:
        return failed(
            f"{AUTO_MTLS} is off in {_title(s.controller)}: it leaves out {', '.join(wanted)} and ignores the istio "
            f"settings of the parameters without a word; set controller.extraEnv.{AUTO_MTLS} to true in its Helm values"
        )
    if not wanted and s.auto_mtls:
        return failed(
            f"{AUTO_MTLS} is on in {_title(s.controller)}: {', '.join(MESH_CONTAINERS)} stay in every proxy; "
            "remove it from controller.extraEnv in its Helm values"
        )
    return None


def _check_self_managed(s: Situation) -> Verdict | None:
    if "selfManaged" in s.spec and s.spec["selfManaged"] is not None:
        return failed(f"the parameters of {s.title} say selfManaged: the controller deploys no proxy")
    return None


def _check_ids(s: Situation) -> Verdict | None:
    if not s.in_mesh:
        return None
    for option, (env, _default) in SETTINGS.items():
        value = s.settings()[env]
        if env != "CA_ADDR" and yaml_changes(value):
            return failed(
                f"{option} of {_parameters_title(s)} is {value!r}, which YAML reads as something else than text: the "
                "controller cannot write the Deployment; choose an ID with letters"
            )
    return None


def _parameters_title(s: Situation) -> str:
    refs = s.parameter_refs()
    if not refs:
        return f"{s.title} (no parametersRef: kgateway's defaults)"
    return f"{refs[-1][1]} {refs[-1][2]}/{refs[-1][3]}"


def _plane_at(s: Situation, namespace: str, name: str) -> Json | None:
    """The istiod that the Service stands for, whether it is its first or another of its names."""
    place = s.istiods["serving"].get(f"{namespace}/{name}")
    return None if place is None else s.istiods["istiods"][place]


def _check_istiod(s: Situation) -> Verdict | None:
    """The settings lead to an istiod that is there and will issue certificates."""
    if not s.in_mesh:
        return None
    settings, where = s.settings(), _parameters_title(s)
    address, cluster_id = settings["CA_ADDR"], settings["ISTIO_META_CLUSTER_ID"]
    host, port = istio.split_host_port(address)
    if port is None:
        return failed(f"istioDiscoveryAddress {address} of {where} has no port: istio-proxy exits at once; add :15012")
    known = s.want.istiod or {}
    target = istio.service_of_address(address)
    plane: Json | None = None
    if target:
        service = _by_name(s.services, *target)
        candidates = [r["address"] for r in s.istiods["istiods"] if r["address"]]
        hint = f"istiod is at {known.get('address') or ' or '.join(candidates) or 'no Service of this cluster'}"
        if service is None:
            return failed(f"istioDiscoveryAddress {address} of {where} names a Service that does not exist; {hint}")
        if not any(p.get("port") == port for p in _spec(service).get("ports") or ()) and _spec(service).get("ports"):
            return failed(
                f"istioDiscoveryAddress {address} of {where}: Service {'/'.join(target)} has no port {port}; {hint}"
            )
        plane = _plane_at(s, *target)
        asked = istio.service_of_address(str(known.get("address") or ""))
        if asked and plane and _plane_at(s, *asked) not in (None, plane):
            return failed(f"istioDiscoveryAddress {address} of {where} leads to another istiod; {hint}")
    right = (plane or {}).get("cluster_id") or known.get("cluster_id")
    if right and cluster_id != right:
        return failed(
            f"istioMetaClusterId of {where} is {cluster_id}, but istiod {host} only issues certificates to {right}: "
            f"set istioMetaClusterId to {right}"
        )
    if plane and plane["ready"] is False:
        where = f"{plane['namespace']}/{plane['name']}"
        why = next((p for p in s.istiods["problems"] if where in p), "it has no ready Pod")
        deployment = _by_name(s.deployments, plane["namespace"], plane["name"])
        asleep = deployment is not None and _spec(deployment).get("replicas") == 0
        return (failed if asleep else waiting)(f"istiod {where} is not ready, nobody issues certificates: {why}")
    if s.root_cert is False:
        return waiting(
            f"ConfigMap {s.namespace}/{ROOT_CERT} is missing, the proxy's Pods cannot start: istiod writes it "
            "into every "
            "namespace it serves (does it run, do its discoverySelectors leave this namespace out?)"
        )
    return None


def _check_deployment(s: Situation) -> Verdict | None:
    if s.deployment is None:
        return waiting(
            f"Deployment {s.namespace}/{s.name} does not exist although {s.title} is accepted; the log of the "
            "controller "
            f"{_title(s.controller) if s.controller else ''} tells why".replace("  ", " ")
        )
    have = _container_names(s.deployment)
    if s.expected is not None and set(have) != set(s.expected):
        missing = [name for name in s.expected if name not in have]
        extra = [name for name in have if name not in s.expected]
        parts = [f"lacks {', '.join(missing)}"] if missing else []
        parts += [f"still has {', '.join(extra)}"] if extra else []
        return waiting(f"{_title(s.deployment)} {' and '.join(parts)}: the controller has not rendered it anew")
    if s.in_mesh:
        env = _mesh_env(_containers(s.deployment))
        told = s.told()
        for name, value in s.settings().items():
            # kgateway's defaults are not looked for: another version may leave them out.
            if env.get(name, None if name in told else value) != value:
                shown = f"has {name} {env[name]}" if name in env else f"has no {name} in container istio-proxy"
                return waiting(f"{_title(s.deployment)} {shown}, {_parameters_title(s)} says {value}")
    return None


def current_pods(s: Situation) -> list[Json]:
    """The Pods of the Deployment's newest ReplicaSet; all of the Gateway's Pods when that cannot be told."""
    pods = [p for p in s.pods if not _meta(p).get("deletionTimestamp")]
    uid = _meta(s.deployment).get("uid")
    revision = (_meta(s.deployment).get("annotations") or {}).get("deployment.kubernetes.io/revision")
    newest = [
        str(_meta(r).get("name"))
        for r in s.replica_sets
        if any(ref.get("uid") == uid for ref in _meta(r).get("ownerReferences") or ())
        and (_meta(r).get("annotations") or {}).get("deployment.kubernetes.io/revision") == revision
    ]
    if not newest:
        return pods
    return [p for p in pods if any(ref.get("name") in newest for ref in _meta(p).get("ownerReferences") or ())]


def _check_rollout(s: Situation) -> Verdict | None:
    if s.deployment is None:  # _check_deployment said so already
        return None
    if _spec(s.deployment).get("replicas") == 0:
        return failed(f"{_title(s.deployment)} is scaled to 0: no proxy runs")
    current = current_pods(s)
    for pod in current:
        verdict = _pod_verdict(s, pod)
        if verdict:
            old = [p for p in s.pods if p not in current and _is_ready(p)]
            serving = f"; {len(old)} Pod of the former settings keeps serving" if old else ""
            return Verdict(verdict.state, f"{verdict.reason}{serving}")
    verdict = readiness.judge(s.deployment)
    if not verdict.ready:
        return Verdict(verdict.state, f"{_title(s.deployment)}: {verdict.reason}")
    if not current:
        return waiting(f"{_title(s.deployment)} has no Pod yet")
    return None


def _is_ready(pod: Json) -> bool:
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in _status(pod).get("conditions") or ())


def _pod_verdict(s: Situation, pod: Json) -> Verdict | None:
    name = f"Pod {s.namespace}/{_meta(pod).get('name')}"
    statuses = {str(c.get("name")): c for c in _status(pod).get("containerStatuses") or ()}
    for container, status in statuses.items():
        state = (status.get("state") or {}).get("waiting") or {}
        if state.get("reason") in _IMAGE_TROUBLE:
            image = f"image {status.get('image')} of container {container}"
            text = f"{name}: {image}: {state['reason']}: {state.get('message', '')}"
            return (waiting if state["reason"] == "ErrImagePull" else failed)(text.rstrip(": "))
    sds = statuses.get("sds")
    if sds is not None and not sds.get("ready") and _has_ended(sds):
        return waiting(
            f"{name}: sds ends again and again because istio-proxy gets no certificate: {_no_certificate(s, statuses)}"
        )
    if not _is_ready(pod):
        return waiting(f"{name}: {readiness.pod_trouble(pod) or 'not ready'}")
    return None


def _has_ended(status: Json) -> bool:
    state = status.get("state") or {}
    waits = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    return waits or "terminated" in state or "terminated" in (status.get("lastState") or {})


def _no_certificate(s: Situation, statuses: Mapping[str, Json]) -> str:
    agent = statuses.get("istio-proxy") or {}
    ended = (agent.get("state") or {}).get("terminated") or (agent.get("lastState") or {}).get("terminated") or {}
    settings = s.settings()
    if ended:
        return f"istio-proxy itself ended with code {ended.get('exitCode')}; read its log"
    return (
        f"it asks {settings['CA_ADDR']} as cluster {settings['ISTIO_META_CLUSTER_ID']}; the reason stands in the "
        "logs of "
        "istiod and of the container istio-proxy"
    )


def _check_listeners(s: Situation) -> Verdict | None:
    if s.gateway is None:  # _check_gateway said so already
        return None
    verdict = readiness.judge(s.gateway)
    if verdict.ready or verdict.reason.endswith("no address yet"):
        return None
    return Verdict(verdict.state, f"{s.title}: {verdict.reason}")


def _check_address(s: Situation) -> Verdict | None:
    if s.service is None:
        return waiting(f"Service {s.namespace}/{s.name} does not exist yet")
    if _spec(s.service).get("type") == "LoadBalancer" and not _service_addresses(s.service):
        return waiting(
            f"{_title(s.service)} of type LoadBalancer has no address: the cluster's load balancer provider has "
            "given none"
        )
    if not addresses(s):
        return waiting(f"{s.title} has no address yet")
    return None


CHECKS: tuple[Callable[[Situation], Verdict | None], ...] = (
    _check_gateway,
    _check_class,
    _check_controller,
    _check_parameters,
    _check_switch,
    _check_generation,
    _check_self_managed,
    _check_ids,
    _check_istiod,
    _check_deployment,
    _check_rollout,
    _check_listeners,
    _check_address,
)


def judge(situation: Situation) -> Verdict:
    """The first check that does not hold, else ready."""
    for check in CHECKS:
        verdict = check(situation)
        if verdict is not None:
            return verdict
    names = ", ".join(_container_names(situation.deployment))
    return readiness.ready(f"{names} ready in {len(current_pods(situation))} Pod(s)")


# -- the record ------------------------------------------------------------------------------------------------------


def _service_addresses(service: Json | None) -> list[str]:
    ingress = (_status(service).get("loadBalancer") or {}).get("ingress") or ()
    return [str(i.get("hostname") or i.get("ip")) for i in ingress if i.get("hostname") or i.get("ip")]


def addresses(s: Situation) -> list[str]:
    """Where clients reach the proxy: the LoadBalancer's addresses, else what the Gateway's status says."""
    if _spec(s.service).get("type") == "LoadBalancer":
        return _service_addresses(s.service)
    return [str(a["value"]) for a in _status(s.gateway).get("addresses") or () if a.get("value")]


def url(s: Situation) -> str | None:
    """URL of the first HTTP listener (else HTTPS) at the first address."""
    found = addresses(s)
    listeners = _spec(s.gateway).get("listeners") or []
    ranked = [x for wanted in ("HTTP", "HTTPS") for x in listeners if x.get("protocol") == wanted]
    if not found or not ranked:
        return None
    host = found[0]
    try:
        host = f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    except ValueError:
        pass
    return f"{ranked[0]['protocol'].lower()}://{host}:{ranked[0]['port']}"


def pod_records(s: Situation) -> list[Json]:
    """The Gateway's Pods with their containers, current ones first."""
    current = [str(_meta(p).get("name")) for p in current_pods(s)]
    rows = []
    for pod in sorted(s.pods, key=lambda p: (str(_meta(p).get("name")) not in current, str(_meta(p).get("name")))):
        statuses = {c.get("name"): c for c in _status(pod).get("containerStatuses") or ()}
        rows.append(
            {
                "name": str(_meta(pod).get("name")),
                "phase": str(_status(pod).get("phase") or ""),
                "ready": _is_ready(pod),
                "current": str(_meta(pod).get("name")) in current,
                "containers": [
                    _container_record(c, statuses.get(c.get("name")) or {}) for c in _spec(pod).get("containers") or ()
                ],
            }
        )
    return rows


def _container_record(container: Json, status: Json) -> Json:
    state = status.get("state") or {}
    word = next((w for w in ("running", "waiting", "terminated") if w in state), "unknown")
    last = (status.get("lastState") or {}).get("terminated") or {}
    reason = (state.get(word) or {}).get("reason") or ""
    if last:
        reason = f"{reason}, " * bool(reason) + f"last ended with code {last.get('exitCode')}"
    return {
        "name": str(container.get("name")),
        "image": str(container.get("image") or ""),
        "ready": bool(status.get("ready")),
        "state": word,
        "reason": reason,
        "restarts": int(status.get("restartCount") or 0),
    }


def problems(s: Situation) -> list[str]:
    """What is not wrong enough to keep the proxy from serving."""
    found = []
    if s.in_mesh and s.want.istiod:
        right, have = s.want.istiod.get("mesh_id"), s.settings()["ISTIO_META_MESH_ID"]
        if right and right != have:
            found.append(
                f"istioMetaMeshId of {_parameters_title(s)} is {have}, istiod's mesh ID is {right}; nothing "
                "checks it, but "
                "telemetry will carry the wrong one"
            )
    if s.in_mesh and _switch(s.controller, INTEGRATION) is False:
        found.append(f"{INTEGRATION} is off in {_title(s.controller or {})}: newer versions then find no ServiceEntry")
    return found


def record(cluster: str, situation: Situation, verdict: Verdict) -> Json:
    """The flat record of one Gateway."""
    s = situation
    pods = current_pods(s)
    refs = s.parameter_refs()
    carried = _spec(pods[0]).get("containers") if pods else _containers(s.deployment)
    return {
        "cluster": cluster,
        "namespace": s.namespace,
        "gateway": s.name,
        "verdict": verdict.state,
        "cause": "" if verdict.ready else verdict.reason,
        "gateway_class": str(_spec(s.gateway).get("gatewayClassName") or ""),
        "generation": _meta(s.gateway).get("generation"),
        "observed_generation": _accepted(s).get("observedGeneration"),
        "parameters": f"{refs[-1][2]}/{refs[-1][3]}" if refs else None,
        "containers": [str(c.get("name")) for c in carried or ()],
        "env": _mesh_env(carried or []),
        "pods": pod_records(s),
        "replicas": {
            "wanted": _spec(s.deployment).get("replicas"),
            "updated": int(_status(s.deployment).get("updatedReplicas") or 0),
            "available": int(_status(s.deployment).get("availableReplicas") or 0),
        },
        "service_type": _spec(s.service).get("type"),
        "addresses": addresses(s),
        "url": url(s),
        "controller": {
            "namespace": _meta(s.controller).get("namespace"),
            "name": _meta(s.controller).get("name"),
            "auto_mtls": s.auto_mtls,
            "integration": _switch(s.controller, INTEGRATION),
        },
        "problems": problems(s),
    }
