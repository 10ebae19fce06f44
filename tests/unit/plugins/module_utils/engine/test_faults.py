"""Engine x fault: the same result when each request fails once, and a plain error in time when they always fail."""

from __future__ import annotations

import copy
import http.server
import importlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_proxy
import helm_records
import pytest

import fast_time
from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info
from ansible_collections.multicluster.gloo.plugins.module_utils.helm import program
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import connection, transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[5]
PACKAGE = health_info.__name__.rpartition(".doctor.")[0]
GATEWAY_API, ADMIN, MESH = "gateway.networking.k8s.io/v1", "admin.gloo.solo.io/v2", "networking.gloo.solo.io/v2"
PARAMETERS = "gateway.kgateway.dev/v1alpha1"
OURS = {"app.kubernetes.io/managed-by": "multicluster.gloo"}
VD = {"name": "vd", "namespace": "app", "spec": {"hosts": ["a.mesh.internal"], "ports": [{"number": 80}]}}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "made"}, "data": {"k": "v"}}
ROW = {"name": "fake", "role": "management"}
HOST = {"context": "fake", "cluster": "fake"}
WRITTEN = re.compile(r"The object may have been (written|deleted)\. Run the task again")


class Stage:
    """The clusters of the matrix: ``api`` behind the proxy, and two that never fail."""

    def __init__(self, api: Any, kubeconfig: str, others: dict[str, tuple[Any, str]], url: str) -> None:
        self.api, self.kubeconfig, self.others, self.url = api, kubeconfig, others, url

    def put(self, api_version: str, plural: str, namespace: str, name: str, api: Any = None, **body: Any) -> None:
        """Make the object what is given."""
        (api or self.api).write(
            api_version, plural, namespace, {"metadata": {"name": name, **body.pop("meta", {})}, **body}
        )

    def drop(self, *places: tuple[str, str, str, str]) -> None:
        """The objects do not exist."""
        for place in places:
            if place in self.api.objects:
                self.api.remove(place)

    def row(self, name: str, **more: Any) -> Json:
        """The entry of an option ``clusters``; "fake" is the cluster behind the proxy."""
        if name == "fake":
            return {"name": "fake", "kubeconfig": self.kubeconfig, "context": "fake", **more}
        return {"name": name, "kubeconfig": self.others[name][1], "context": "fake", **more}


# -- before each run: the state from which the engine starts; returns further options


def _nothing(stage: Stage) -> Json:
    return {}


def _two_roles(stage: Stage) -> Json:
    return {
        "clusters": [
            {**stage.row("fake", gateway=False), "name": each, "role": each} for each in ("management", "workload")
        ]
    }


def _absent(stage: Stage) -> Json:
    stage.drop(("v1", "configmaps", "made", "m"), ("v1", "namespaces", "", "made"))
    return {}


def _present(stage: Stage) -> Json:
    stage.put("v1", "namespaces", "", "made", meta={"labels": OURS})
    stage.put("v1", "configmaps", "made", "m", meta={"labels": OURS}, data={"k": "v"})
    return {}


def _cleanup(stage: Stage) -> Json:
    _present(stage)
    common = {"phase": "namespaces", "action": "delete", "api_version": "v1", "reason": "created by this collection"}
    maps = {**common, "kind": "ConfigMap", "namespace": "made", "name": "m", "ours": True}
    return {"steps": [maps, {**common, "kind": "Namespace", "namespace": "", "name": "made", "ours": True}]}


def _parameters(stage: Stage) -> Json:
    stage.drop((PARAMETERS, "gatewayparameters", "app", "p"))
    return {}


def _used_parameters(stage: Stage) -> Json:
    stage.put(PARAMETERS, "gatewayparameters", "app", "p", meta={"labels": OURS}, spec={"kube": {}})
    return {}


def _release(stage: Stage) -> Json:
    note = "multicluster.gloo.edge"
    stage.drop(("v1", "configmaps", "app", note), ("v1", "secrets", "app", note))
    stored = helm_records.record(namespace="app", values={"theirs": 1})
    stage.put("v1", "secrets", "app", stored["metadata"]["name"], meta=stored["metadata"], data=stored["data"])
    return {"values": {"ours": 1}}


def _noted_release(stage: Stage) -> Json:
    _release(stage)
    labels, notes = {"multicluster.gloo/release": "edge"}, {"multicluster.gloo/former-revision": ""}
    stage.put("v1", "configmaps", "app", "multicluster.gloo.edge", meta={"labels": labels, "annotations": notes})
    stage.put("v1", "secrets", "app", "multicluster.gloo.edge")
    return {}


def _layers(stage: Stage) -> Json:
    rows = [{**stage.row("fake"), "host": role, "role": role, "required": True} for role in ("management", "workload")]
    return {"clusters": rows}


def _phase(stage: Stage) -> Json:
    """A workload cluster in which only a namespace is missing; the management cluster is the same."""
    _absent(stage)
    used: Json = {"manage": False, "install": False, "state": "external", "name": "", "namespace": "app"}
    agent = {**used, "install": True, "namespace": "made"}
    istio: Json = {**used, "facts": {"istiods": [], "deployments": []}}
    gateway = {**used, "facts": {"deployments": [], "address": ""}}
    own = {"crds": used, "agent": agent, "operator": used, "istio": istio, "eastwest": gateway}
    return {
        "layers": {"fake": own, "mgmt": {"platform": used}},
        "management": {"host": "mgmt", "kubeconfig": stage.kubeconfig, "context": "fake", "cluster": "fake"},
    }


def _relay(stage: Stage) -> Json:
    stage.put("v1", "namespaces", "", "agents")
    stage.drop(*(("v1", "secrets", "agents", f"relay-{each}") for each in ("root-tls-secret", "identity-token-secret")))
    stage.put("v1", "secrets", "app", "relay-root-tls-secret", data={"ca.crt": "Y2E="})
    stage.put("v1", "secrets", "app", "relay-identity-token-secret", data={"token": "dG9rZW4="})
    return {f"management_{key}": stage.row("fake")[key] for key in ("kubeconfig", "context")}


def _membership(stage: Stage, api: Any, *names: str) -> None:
    api.kinds[ADMIN] = {"kubernetesclusters": ("KubernetesCluster", True), "workspaces": ("Workspace", True)}
    api.kinds[MESH] = {"virtualdestinations": ("VirtualDestination", True)}
    if api.get("v1", "namespaces", "", "app") is None:
        stage.put("v1", "namespaces", "", "app", api)
    for name in names:
        stage.put(ADMIN, "kubernetesclusters", "app", name, api, spec={"clusterDomain": "cluster.local"})


def _registered(stage: Stage) -> Json:
    """The cluster behind the proxy manages two others."""
    _membership(stage, stage.api, "one", "two")
    workloads = [stage.row(name, role="workload", gateway=name == "one") for name in ("one", "two")]
    return {"clusters": [stage.row("fake", role="management", gateway=False), *workloads]}


def _member(stage: Stage) -> Json:
    """The cluster behind the proxy is a member, whose east-west gateway others use."""
    _membership(stage, stage.others["two"][0], "fake", "one")
    containers = [{"name": "gloo-mesh-agent", "args": ["--cluster=fake"]}]
    ready = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "readyReplicas": 1}
    spec = {"template": {"spec": {"containers": containers}}}
    stage.put("apps/v1", "deployments", "app", "gloo-mesh-agent", spec=spec, status=ready)
    ports = [{"name": "tls", "port": 15443}]
    address = {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}
    stage.drop(("v1", "services", "app", "ew"))
    stage.put(
        "v1",
        "services",
        "app",
        "ew",
        meta={"labels": {"istio": "eastwestgateway"}},
        spec={"ports": ports},
        status=address,
    )
    one = stage.others["one"][0]
    one.kinds["networking.istio.io/v1"] = {"workloadentries": ("WorkloadEntry", True)}
    stage.put("v1", "namespaces", "", "app", one)
    parent = {
        f"gloo.solo.io/parent_{key}": value
        for key, value in (("kind", "VirtualDestination"), ("namespace", "app"), ("name", "vd"))
    }
    stage.put(
        "networking.istio.io/v1",
        "workloadentries",
        "app",
        "we",
        one,
        meta={"labels": parent},
        spec={"address": "192.0.2.9"},
    )
    rows = [stage.row("two", role="management", gateway=False), stage.row("one", role="workload", gateway=True)]
    return {"clusters": [*rows, stage.row("fake", role="workload", gateway=False)]}


def _scaled_down(stage: Stage) -> Json:
    noted = json.dumps({"replicas": 2, "owners": []})
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "reviews"}}}
    stage.put(
        "apps/v1",
        "deployments",
        "app",
        "reviews",
        meta={"annotations": {"multicluster.gloo/failover-replicas": noted}},
        spec=spec,
    )
    return {"clusters": [stage.row("fake", role="workload", gateway=False)]}


def _backends(stage: Stage) -> Json:
    """A Gateway whose address is a program of this test."""
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    stage.put("v1", "pods", "app", "reviews-1", meta={"labels": {"app": "reviews"}}, status=ready)
    listener = {"name": "http", "protocol": "HTTP", "port": int(stage.url.rpartition(":")[2])}
    address = {"addresses": [{"type": "IPAddress", "value": "127.0.0.1"}]}
    stage.put(
        GATEWAY_API,
        "gateways",
        "app",
        "gw",
        spec={"gatewayClassName": "kgateway", "listeners": [listener]},
        status=address,
    )
    selection = {"namespace": "app", "label_selector": "app=reviews"}
    return {
        "clusters": [stage.row("fake", role="workload", gateway=True)],
        "answered_by": selection,
        "gateway": {"name": "gw"},
    }


@dataclass(frozen=True)
class Engine:
    """``module``: below module_utils; ``once``: it writes what must not be written twice."""

    module: str
    options: Json = field(default_factory=dict)
    before: Callable[[Stage], Json] = _nothing
    once: bool = False


REVISION = {"istio_revision": "gloo"}
REMOVAL: Json = {"drain_timeout": 1, "grace": 0, "wait_timeout": 60}
ENGINES: dict[str, Engine] = {
    "cluster_info": Engine("apply.cluster_info", {"kinds": ["apps/Deployment"]}),
    "objects, present": Engine("apply.objects", {"definitions": [NAMESPACE, MAP], "wait_timeout": 60}, _absent),
    "objects, absent": Engine(
        "apply.objects", {"definitions": [NAMESPACE, MAP], "state": "absent", "wait_timeout": 60}, _present
    ),
    "objects_info": Engine(
        "apply.objects_info",
        {"objects": [{"api_version": "v1", "kind": "Secret"}], "wait_for": "present", "wait_timeout": 60},
    ),
    "workload_restart": Engine(
        "apply.workload_restart", {"workloads": [{"namespace": "app"}], "missing_sidecar": True, "wait_timeout": 60}
    ),
    "helm_release, present": Engine(
        "helm.helm_release", {"name": "edge", "namespace": "app", "chart": "oci://r.example/edge"}, _release
    ),
    "helm_release, absent": Engine(
        "helm.helm_release", {"name": "edge", "namespace": "app", "state": "absent"}, _noted_release
    ),
    "istiod_info": Engine("istiod.istiod_info", {"strict": False}),
    "mesh_phase": Engine(
        "site.mesh_phase",
        {
            "phase": "install",
            "host": "fake",
            "settings": {"on_conflict": "fail", "wait_timeout": 60, "istio_revision": ""},
        },
        _phase,
    ),
    "relay_secrets": Engine(
        "mesh.relay_secrets",
        {"management_cluster": "fake", "management_namespace": "app", "namespace": "agents", "wait_timeout": 60},
        _relay,
    ),
    "virtual_destination_info": Engine("mesh.virtual_destination_info", {"destinations": [VD]}),
    "gateway_class_info": Engine("gateway.gateway_class_info", {"controller_names": ["kgateway.dev/kgateway"]}),
    "gateway_parameters, present": Engine(
        "gateway.gateway_parameters", {"name": "p", "namespace": "app", "deployment": {"replicas": 2}}, _parameters
    ),
    "gateway_parameters, absent": Engine(
        "gateway.gateway_parameters", {"name": "p", "namespace": "app", "state": "absent"}, _used_parameters
    ),
    "gateway_proxy_info": Engine("gateway.gateway_proxy_info"),
    "gateway_product_info": Engine("gateway.gateway_product_info"),
    "layers_info": Engine("site.layers_info", {"strict": False}, _layers),
    "cluster_preflight": Engine("site.cluster_preflight"),
    "traffic_check": Engine(
        "traffic.traffic_check", {"path": "/", "pattern": r"(reviews-\d)", "timeout": 60, "patience": 0}, _backends
    ),
    "failover_check, restored": Engine("traffic.failover_check", {"state": "restored"}, _scaled_down, once=True),
    "health_info": Engine("doctor.health_info", {"logs": False}, _two_roles),
    "support_bundle": Engine("bundle.support_bundle", {"log_lines": 5}, _two_roles),
    "cleanup_info": Engine("cleanup.cleanup_info"),
    "cleanup": Engine("cleanup.cleanup", {"phase": "namespaces", "wait_timeout": 60}, _cleanup),
    "cluster_removal, deregister": Engine(
        "cleanup.cluster_removal", {"cluster": "two", "phase": "deregister", **REMOVAL}, _registered
    ),
    "cluster_removal, drain": Engine(
        "cleanup.cluster_removal", {"cluster": "fake", "phase": "drain", **REMOVAL}, _member, once=True
    ),
}
#: they report what cannot be read instead of ending
REPORTING = ("health_info", "support_bundle")
#: they send no request to a cluster
OFFLINE = ("preflight_check", "report_files")
#: it has no cluster of its own: see test_lease.py
ELSEWHERE = ("site_lease",)


class _Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "9")
        self.end_headers()
        self.wfile.write(b"reviews-1")

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def backend() -> Iterator[str]:
    """URL of a program that answers requests as a Pod does."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Backend) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


@pytest.fixture
def site(
    fake: Any, serving: Any, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Stage, fault_proxy.FaultProxy]]:
    """A small cluster behind a fault proxy, and two others. Helm itself does nothing: it does not use the proxy."""
    monkeypatch.setattr(program.Helm, "check", lambda *args: None)
    monkeypatch.setattr(program.Helm, "run", lambda *args: "")
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 10.0)
    timed, real = connection.Socket._timed, time.monotonic

    def sooner(self: connection.Socket) -> socket.socket:
        """Sockets wait as fast as the engines' clock runs."""
        plain = timed(self)
        fast = connection.time.monotonic is not real
        plain.settimeout((plain.gettimeout() or 0.0) / (fast_time.FACTOR if fast else 1))
        return plain

    monkeypatch.setattr(connection.Socket, "_timed", sooner)
    api, kubeconfig = fake
    api.kinds["v1"] |= {"resourcequotas": ("ResourceQuota", True), "serviceaccounts": ("ServiceAccount", True)}
    api.kinds["apps/v1"] |= {"daemonsets": ("DaemonSet", True), "replicasets": ("ReplicaSet", True)}
    api.kinds[GATEWAY_API] = {
        "gatewayclasses": ("GatewayClass", False),
        "gateways": ("Gateway", True),
        "httproutes": ("HTTPRoute", True),
    }
    hooks = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
    api.kinds["admissionregistration.k8s.io/v1"] = {f"{kind.lower()}s": (kind, False) for kind in hooks}
    api.kinds["discovery.k8s.io/v1"] = {"endpointslices": ("EndpointSlice", True)}
    api.kinds[MESH] = {"virtualdestinations": ("VirtualDestination", True)}
    api.kinds[PARAMETERS] = {"gatewayparameters": ("GatewayParameters", True)}
    controller = {"metadata": {"name": "kgateway"}, "spec": {"controllerName": "kgateway.dev/kgateway"}}
    api.write(GATEWAY_API, "gatewayclasses", "", controller)
    api.write("v1", "namespaces", "", {"metadata": {"name": "app"}})
    api.write("v1", "secrets", "app", {"metadata": {"name": "s"}, "data": {}})
    with ExitStack() as stack:
        others = {}
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            others[name] = stack.enter_context(serving(tmp_path / name, "fake"))
        made = stack.enter_context(fault_proxy.in_front_of(kubeconfig, "fake", tmp_path))
        yield Stage(api, made.kubeconfig, others, backend), made


def run(name: str, stage: Stage, folder: Path, **options: Any) -> Any:
    """The engine's result, or its error's text; without what differs from run to run."""
    row = ENGINES[name]
    engine = importlib.import_module(f"{PACKAGE}.{row.module}")
    params = {option: each.get("default") for option, each in copy.deepcopy(engine.ARGUMENT_SPEC).items()}
    params |= {"kubeconfig": stage.kubeconfig, **HOST, **row.options, **row.before(stage), **options}
    if name == "cluster_preflight":
        params["planned"] = {
            key: each.get("default") for key, each in engine.ARGUMENT_SPEC["planned"]["options"].items()
        }
    if name == "support_bundle":
        params["dest"] = str(folder / f"bundle-{time.monotonic_ns()}.tar.gz")
    try:
        result = engine.run(params, False, lambda line: None)
    except ClusterError as exc:
        return {"error": exc.msg}
    text = json.dumps(result, sort_keys=True, default=str)
    text = re.sub(r"bundle-\d+|waited \d+ s|\d{4}-\d\d-\d\dT[\d:.]+Z?", "-", text)
    text = re.sub(r'"(requests|seconds|bytes|size|writes|uid|resourceVersion|sha256)": ("[^"]*"|[\d.]+)', "-", text)
    text = re.sub(r"(uid|resourceVersion): [^\\\\]*", "-", text)  # in YAML of differences
    return json.loads(re.sub(r", -|-, |-(?=})", "", text).replace("{, ", "{"))


def cells(engines: Any, faults: Any) -> Any:
    rows = [pytest.param(engine, fault, id=f"{engine}-{fault}") for fault in faults for engine in engines]
    return pytest.mark.parametrize(("engine", "fault"), rows)


def test_every_engine_is_in_the_matrix_or_asks_no_cluster() -> None:
    engines = {path.stem for path in (REPO / "plugins" / "action").glob("*.py")}
    assert {name.partition(",")[0] for name in ENGINES} | {*OFFLINE, *ELSEWHERE} == engines
    for name in OFFLINE:
        action = importlib.import_module(f"{PACKAGE.removesuffix('module_utils')}action.{name}").ActionModule
        assert not {"kubeconfig", "clusters"} & set(action.ARGUMENT_SPEC)


@pytest.mark.share
@pytest.mark.usefixtures("fast")
@cells(ENGINES, fault_proxy.FAULTS)
def test_each_request_may_fail_once(
    site: tuple[Stage, fault_proxy.FaultProxy], engine: str, fault: fault_proxy.Fault, tmp_path: Path
) -> None:
    stage, proxy = site
    expected = run(engine, stage, tmp_path)
    proxy.breaks(fault, times=1)
    result = run(engine, stage, tmp_path)
    assert proxy.faults() and "error" not in expected
    errors: list[str] = []
    while "error" in result and ENGINES[engine].once and fault not in fault_proxy.REFUSALS and len(errors) < 3:
        errors.append(result["error"])
        result = run(engine, stage, tmp_path)
    assert all(error.startswith("fake: ") and fault.says in error and WRITTEN.search(error) for error in errors)
    assert bool(errors) is (ENGINES[engine].once and fault not in fault_proxy.REFUSALS)
    assert result == expected


@pytest.mark.share
@pytest.mark.usefixtures("fast")
@cells(ENGINES, fault_proxy.FAULTS)
def test_a_fault_that_stays_is_told_in_time(
    site: tuple[Stage, fault_proxy.FaultProxy],
    engine: str,
    fault: fault_proxy.Fault,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 1.0)
    stage, proxy = site
    proxy.breaks(fault)
    begin = time.monotonic()
    result = run(engine, stage, tmp_path)
    assert time.monotonic() - begin < 30
    text = json.dumps(result)
    if engine in REPORTING:
        assert fault.says.replace('"', '\\"') in text
    else:
        assert result["error"].startswith("fake: ") and fault.says in result["error"]
    assert "unexpected" not in text and "Traceback" not in text and "descriptor" not in text


#: option that limits the engine -> its value for 5 seconds
LIMITS = {"wait_timeout": 5, "timeout": 5}
LIMITED = [
    name
    for name, row in ENGINES.items()
    if set(LIMITS) & set(importlib.import_module(f"{PACKAGE}.{row.module}").ARGUMENT_SPEC)
    and name not in REPORTING  # their option limits each proof
    and name != "failover_check, restored"  # backends are restored even when that takes longer
]


@pytest.mark.share
@pytest.mark.parametrize("part", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("engine", LIMITED)
def test_no_engine_outlives_its_timeout(
    site: tuple[Stage, fault_proxy.FaultProxy],
    engine: str,
    part: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An API server that no longer answers after this part of the requests."""
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 30.0)
    stage, proxy = site
    run(engine, stage, tmp_path)
    proxy.breaks(fault_proxy.BY_NAME["never answered"], after=int(len(proxy.log) * part))
    limit = LIMITS if ENGINES[engine].module != "helm.helm_release" else {"timeout": "5s"}
    begin = time.monotonic()
    result = run(engine, stage, tmp_path, **limit)
    assert time.monotonic() - begin < 5 + transport.GRACE + 4
    assert result["error"].startswith("fake: ") and "does not respond: timed out" in result["error"]
