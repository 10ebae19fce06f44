"""The kubelet of gateway proxy Pods, with small scripts in the place of Envoy and pilot-agent."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.control_plane import processes
from lab.pods import kubelet
from lab.pods.kubelet import Kubelet, issued, pod_folder
from lab.pods.pod_ports import ENVOY_ADMIN_PORT, PodPorts

ENVOY = """
import http.server, json, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
config = json.load(open(sys.argv[sys.argv.index("--config-path") + 1]))
port = config["admin"]["address"]["socket_address"]["port_value"]
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""
AGENT = """
import json, os, pathlib, sys, time
if not os.environ["CA_ADDR"].rpartition(":")[0]:
    sys.exit(255)
token = pathlib.Path("var/run/secrets/tokens/istio-token").read_text()
print(json.dumps({"arguments": sys.argv[1:], "env": dict(os.environ), "token": token}), flush=True)
if os.environ["ISTIO_META_CLUSTER_ID"] == "cluster1":
    for name in ("key.pem", "cert-chain.pem", "root-cert.pem"):
        pathlib.Path(os.environ["OUTPUT_CERTS"], name).write_text(name)
time.sleep(600)
"""
GRACE = 30.0


class Api:
    def request(self, *_: Any) -> Any:
        return {"status": {"token": "TOKEN", "expirationTimestamp": "2100-01-01T00:00:00Z"}}


class Lab:
    """What the kubelet uses of lab.control_plane.lab.Lab."""

    def __init__(self, home: Path, cluster: Any) -> None:
        self.home = home
        self.clusters = {cluster.name: cluster}
        self.programs = {}
        for name, text in (("envoy", ENVOY), ("pilot-agent", AGENT)):
            self.programs[name] = home / name
            self.programs[name].write_text(f"#!{sys.executable}\n{text}")
            self.programs[name].chmod(0o755)

    def free_port(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return int(probe.getsockname()[1])


def variable(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def proxy(made: Any, **env: str) -> Any:
    """A Pod as the controller renders it, as far as the kubelet looks."""
    result = {"CA_ADDR": "istiod.istio-system.svc:15012", "ISTIO_META_CLUSTER_ID": "cluster1", **env}
    mounts = [
        {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio"},
        {"name": "istio-certs", "mountPath": "/etc/istio-certs/"},
        {"name": "istio-token", "mountPath": "/var/run/secrets/tokens"},
    ]
    agent = {
        "name": "istio-proxy",
        "args": ["proxy", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--certs", "/etc/istio-certs"],
        "env": [
            variable("OUTPUT_CERTS", "/etc/istio-certs"),
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "INSTANCE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            *(variable(name, value) for name, value in result.items()),
        ],
        "volumeMounts": mounts,
    }
    sds = {"name": "sds", "volumeMounts": mounts[1:2]}
    pod = made.pod(
        "http-1", namespace="gloo-system", sidecar=False, containers=[{"name": "kgateway-proxy"}, sds, agent]
    )
    token = {"audience": "istio-ca", "expirationSeconds": 43200, "path": "istio-token"}
    pod["spec"]["volumes"] = [
        {"name": "istio-certs", "emptyDir": {}},
        {"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}},
        {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
    ]
    pod["status"] = {}
    return pod


class Stage:
    """One Pod in one cluster under one kubelet."""

    def __init__(self, made: Any, home: Path, pod: Any, *others: Any) -> None:
        self.pod = pod
        self.cluster = made.Cluster("cluster1", pod, *others)
        self.cluster.api = Api()
        self.cluster.set_status = lambda pod, status, manager: self.pod.update(status=status)
        self.events: list[Any] = []
        self.cluster.create = lambda event, manager: self.events.append(event)
        self.lab: Any = Lab(home, self.cluster)
        self.pod_ports = PodPorts()
        self.kubelet = Kubelet(self.pod_ports, sds_pause=0.002)

    def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Let the kubelet look until the Pod's container statuses are as they should be."""
        end = time.monotonic() + GRACE
        while True:
            self.kubelet.reconcile(self.lab)
            result = {status["name"]: status for status in self.pod["status"].get("containerStatuses") or []}
            if condition(result):
                return result
            assert time.monotonic() < end, json.dumps(self.pod["status"], indent=1)
            time.sleep(0.05)

    def wait_for_log(self, container: str, words: str) -> str:
        """A container's log once these words are in it: it is written by a thread that reads the process."""
        log = self.lab.home / "logs" / "pods" / "cluster1" / "uid-http-1" / f"{container}.log"
        end = time.monotonic() + GRACE
        while not (log.is_file() and words in log.read_text()):
            assert time.monotonic() < end, f"{container} has no {words!r} in its log"
            time.sleep(0.05)
        return log.read_text()


@pytest.fixture
def stage(made: Any, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(pod: Any, root: bool = True) -> Stage:
        given = made.obj("ConfigMap", "istio-ca-root-cert", "gloo-system", data={"root-cert.pem": "ROOT"})
        stages.append(Stage(made, tmp_path, pod, *([given] if root else [])))
        return stages[-1]

    yield make
    for each in stages:
        each.kubelet.stop()


def ready(result: dict[str, Any]) -> bool:
    return len(result) == 3 and all(status["ready"] for status in result.values())


def test_three_processes_make_three_ready_containers(made: Any, stage: Callable[..., Stage]) -> None:
    it = stage(proxy(made))
    it.until(ready)
    output = json.loads(it.wait_for_log("istio-proxy", "\n").partition(" F ")[2])
    root = pod_folder(it.lab, "cluster1", "uid-http-1") / "containers" / "istio-proxy"
    certs = str(root / "etc/istio-certs")
    assert output["arguments"] == ["proxy", "--domain", "gloo-system.svc.cluster.local", "--certs", certs]
    assert output["token"] == "TOKEN"
    env = output["env"]
    assert (env["OUTPUT_CERTS"], env["CA_ADDR"]) == (certs, "istiod.istio-system.svc:15012")
    assert env["INSTANCE_IP"] == it.pod["status"]["podIP"]
    assert env["HTTPS_PROXY"].startswith("http://cluster1:gloo-system@127.0.0.1:")
    assert (root / "etc/istio/pod/annotations").read_text() == 'status.sidecar.istio.io/port="0"\n'
    assert issued(it.lab, it.cluster, it.pod) == ("root-cert.pem", "cert-chain.pem")
    # The files reach Envoy through sds.
    others = [each for each in it.pod["spec"]["containers"] if each["name"] != "sds"]
    assert issued(it.lab, it.cluster, {**it.pod, "spec": {"containers": others}}) == ("", "")
    assert it.wait_for_log("sds", "listening")


def test_a_refused_certificate_ends_sds_only(made: Any, stage: Callable[..., Stage]) -> None:
    it = stage(proxy(made, ISTIO_META_CLUSTER_ID="other"))
    result = it.until(lambda result: bool(result and result["sds"]["restartCount"]))
    assert result["sds"]["lastState"]["terminated"]["exitCode"] == 1
    assert result["istio-proxy"]["ready"] and not result["sds"]["ready"]
    assert issued(it.lab, it.cluster, it.pod) == ("", "")


def test_an_agent_that_ends_at_once_is_in_a_crash_loop(made: Any, stage: Callable[..., Stage]) -> None:
    it = stage(proxy(made, CA_ADDR="no-port"))
    result = it.until(lambda result: bool(result and "waiting" in result["istio-proxy"]["state"]))
    assert result["istio-proxy"]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert result["istio-proxy"]["lastState"]["terminated"]["exitCode"] == 255


def test_with_a_missing_trust_root_nothing_starts(made: Any, stage: Callable[..., Stage]) -> None:
    it = stage(proxy(made), root=False)
    for _ in range(3):
        it.until(bool)
    assert [(event["reason"], event["involvedObject"]["name"]) for event in it.events] == [("FailedMount", "http-1")]
    assert 'configmap "istio-ca-root-cert" not found' in it.events[0]["message"]
    assert it.pod_ports.local("cluster1", "uid-http-1", ENVOY_ADMIN_PORT) is None
    given = made.obj("ConfigMap", "istio-ca-root-cert", "gloo-system", data={"root-cert.pem": "ROOT"})
    it.cluster.objects.append(given)
    it.until(ready)


def test_a_killed_process_is_started_again_and_the_files_stay(made: Any, stage: Callable[..., Stage]) -> None:
    it = stage(proxy(made))
    it.until(ready)
    running = it.kubelet._pods["cluster1", "uid-http-1"]
    processes.end([running.children["sds"].pid])
    result = it.until(lambda result: ready(result) and bool(result["sds"]["restartCount"]))
    assert result["istio-proxy"]["restartCount"] == 0


def test_a_deleted_pod_leaves_no_processes_and_files(
    made: Any, stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelet, "DRAIN", 0.1)
    it = stage(proxy(made))
    it.until(ready)
    pids = [child.pid for child in it.kubelet._pods["cluster1", "uid-http-1"].children.values()]
    assert all(processes.running(pid, "") for pid in pids)
    it.cluster.objects.remove(it.pod)
    it.until(lambda _: not pod_folder(it.lab, "cluster1", "uid-http-1").exists())
    assert not any(processes.running(pid, "") for pid in pids)
    assert it.pod_ports.local("cluster1", "uid-http-1", ENVOY_ADMIN_PORT) is None
