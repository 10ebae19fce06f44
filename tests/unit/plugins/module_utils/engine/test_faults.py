"""Engine x fault: the same result when each request fails once, and a plain error in time when they always fail."""

from __future__ import annotations

import importlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fault_proxy
import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.doctor import health_info
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s import transport
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError

Json = dict[str, Any]
PACKAGE = health_info.__name__.rpartition(".doctor.")[0]
GATEWAY_API = "gateway.networking.k8s.io/v1"
VD = {"name": "vd", "namespace": "app", "spec": {"hosts": ["a.mesh.internal"], "ports": [{"number": 80}]}}
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}}
MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "made"}, "data": {"k": "v"}}
ROW = {"name": "fake", "role": "management"}
HOST = {"context": "fake", "cluster": "fake"}

#: engine -> (module, options); "clusters" stands for a management and a workload cluster, both behind the proxy
ENGINES: dict[str, tuple[str, Json]] = {
    "cluster_info": ("apply.cluster_info", {"kinds": ["apps/Deployment"]}),
    "objects, present": ("apply.objects", {"definitions": [NAMESPACE, MAP], "wait_timeout": 20}),
    "objects, absent": ("apply.objects", {"definitions": [NAMESPACE, MAP], "state": "absent", "wait_timeout": 20}),
    "objects_info": (
        "apply.objects_info",
        {"objects": [{"api_version": "v1", "kind": "Secret"}], "wait_for": "present", "wait_timeout": 20},
    ),
    "workload_restart": (
        "apply.workload_restart",
        {"workloads": [{"namespace": "app"}], "missing_sidecar": True, "wait_timeout": 20},
    ),
    "istiod_info": ("istiod.istiod_info", {"strict": False}),
    "gateway_class_info": ("gateway.gateway_class_info", {"controller_names": ["kgateway.dev/kgateway"]}),
    "gateway_proxy_info": ("gateway.gateway_proxy_info", {}),
    "gateway_product_info": ("gateway.gateway_product_info", {}),
    "virtual_destination_info": ("mesh.virtual_destination_info", {"destinations": [VD]}),
    "cleanup_info": ("cleanup.cleanup_info", {}),
    "cluster_preflight": ("site.cluster_preflight", {}),
    "health_info": ("doctor.health_info", {"clusters": [], "logs": False}),
    "support_bundle": ("bundle.support_bundle", {"clusters": [], "log_lines": 5}),
}
#: they report what cannot be read instead of ending
REPORTING = ("health_info", "support_bundle")


@pytest.fixture
def proxy(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[fault_proxy.FaultProxy]:
    """A small cluster behind a fault proxy."""
    # Sockets wait in real seconds, of which the clock of these tests makes five.
    monkeypatch.setattr(transport, "ATTEMPT_WITHIN", 2.0)
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
    api.kinds["networking.gloo.solo.io/v2"] = {"virtualdestinations": ("VirtualDestination", True)}
    controller = {"metadata": {"name": "kgateway"}, "spec": {"controllerName": "kgateway.dev/kgateway"}}
    api.write(GATEWAY_API, "gatewayclasses", "", controller)
    api.write("v1", "namespaces", "", {"metadata": {"name": "app"}})
    api.write("v1", "secrets", "app", {"metadata": {"name": "s"}, "data": {}})
    with fault_proxy.in_front_of(kubeconfig, "fake", tmp_path) as made:
        yield made


def run(name: str, proxy: fault_proxy.FaultProxy, folder: Path) -> Any:
    """The engine's result, or its error's text; without what differs from run to run."""
    module, options = ENGINES[name]
    engine = importlib.import_module(f"{PACKAGE}.{module}")
    params = {option: row.get("default") for option, row in engine.ARGUMENT_SPEC.items()}
    params |= {"kubeconfig": proxy.kubeconfig, **HOST, **options}
    if name == "cluster_preflight":
        params["planned"] = {key: row.get("default") for key, row in engine.ARGUMENT_SPEC["planned"]["options"].items()}
    if "clusters" in options:
        row = {"kubeconfig": proxy.kubeconfig, "context": "fake", "gateway": False}
        params["clusters"] = [{**row, "name": each, "role": each} for each in ("management", "workload")]
    if name == "support_bundle":
        params["dest"] = str(folder / f"bundle-{time.monotonic_ns()}.tar.gz")
    try:
        result = engine.run(params, False, lambda line: None)
    except ClusterError as exc:
        return {"error": exc.msg}
    text = json.dumps(result, sort_keys=True, default=str)
    text = re.sub(r"bundle-\d+|waited \d+ s|\d{4}-\d\d-\d\dT[\d:.]+Z?", "-", text)
    text = re.sub(r'"(requests|seconds|bytes|size|writes|uid|resourceVersion|sha256)": ("[^"]*"|[\d.]+)', "-", text)
    return json.loads(re.sub(r", -|-, |-(?=})", "", text).replace("{, ", "{"))


def cells(engines: Any, faults: Any) -> Any:
    rows = [pytest.param(engine, fault, id=f"{engine}-{fault}") for fault in faults for engine in engines]
    return pytest.mark.parametrize(("engine", "fault"), rows)


@pytest.mark.share
@pytest.mark.usefixtures("fast")
@cells(ENGINES, fault_proxy.FAULTS)
def test_each_request_may_fail_once(
    proxy: fault_proxy.FaultProxy, engine: str, fault: fault_proxy.Fault, tmp_path: Path
) -> None:
    if engine == "objects, absent":
        run("objects, present", proxy, tmp_path)
    expected = run(engine, proxy, tmp_path)
    if engine == "objects, absent":
        run("objects, present", proxy, tmp_path)
    elif engine == "objects, present":
        run("objects, absent", proxy, tmp_path)
    proxy.breaks(fault, times=1)
    assert run(engine, proxy, tmp_path) == expected
    assert proxy.faults() and "error" not in expected


@pytest.mark.share
@pytest.mark.usefixtures("fast")
@cells(ENGINES, fault_proxy.FAULTS)
def test_a_fault_that_stays_is_told_in_time(
    proxy: fault_proxy.FaultProxy,
    engine: str,
    fault: fault_proxy.Fault,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "PATIENCE", 1.0)
    proxy.breaks(fault)
    begin = time.monotonic()
    result = run(engine, proxy, tmp_path)
    assert time.monotonic() - begin < 15
    text = json.dumps(result)
    if engine in REPORTING:
        assert fault.says.replace('"', '\\"') in text
    else:
        assert result["error"].startswith("fake: ") and fault.says in result["error"]
    assert "unexpected" not in text and "Traceback" not in text and "descriptor" not in text
