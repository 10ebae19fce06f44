"""Pods of the real kgateway controller, with a small script in the place of its program."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.control_plane import kwokctl, processes
from lab.pods import kgateway_controller, network_namespace
from lab.pods.kubelet import Kubelet, pod_folder
from lab.pods.pod_ports import PodPorts

# Ready once the file `ready` is in its folder; prints its environment and kubeconfig with the files it names.
PROGRAM = """
import http.server, json, os, pathlib
config = json.loads(pathlib.Path(os.environ["KUBECONFIG"]).read_text())
files = [config["users"][0]["user"]["tokenFile"], config["clusters"][0]["cluster"]["certificate-authority"]]
contents = [pathlib.Path(file).read_text() for file in files]
print(json.dumps({"env": dict(os.environ), "server": config["clusters"][0]["cluster"]["server"], "files": contents}))
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ready = self.path == "/readyz" and pathlib.Path("ready").exists()
        self.send_response(200 if ready else 500)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("0.0.0.0", 9093), Health).serve_forever()
"""
SERVER = "https://127.0.0.1:1"
IMAGE = "cr.kgateway.dev/kgateway-dev/kgateway:v2.4.0"
NO_NAMESPACE = network_namespace.problem()


class Api:
    server = SERVER

    def __init__(self) -> None:
        self.tokens: list[Any] = []

    def request(self, method: str, path: str, body: Any) -> Any:
        self.tokens.append((method, path, body["spec"]["boundObjectRef"]["name"]))
        return {"status": {"token": "TOKEN", "expirationTimestamp": "2100-01-01T00:00:00Z"}}


def controller(made: Any, image: str = IMAGE, labels: dict[str, str] | None = None) -> Any:
    """A Pod of the chart, as the API server admits it."""
    sources: list[Any] = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    container = {
        "name": "controller",
        "image": image,
        "env": [
            {"name": "KGW_LOG_LEVEL", "value": "info"},
            {"name": "GOMAXPROCS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "POD_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "volumeMounts": [{"name": "kube-api-access-x", "mountPath": kgateway_controller.ACCOUNT}],
    }
    labels = {"kgateway": "kgateway"} if labels is None else labels
    pod = made.pod("kgateway-1", labels, "kgateway-system", sidecar=False, containers=[container])
    pod["spec"] |= {
        "serviceAccountName": "kgateway",
        "volumes": [{"name": "kube-api-access-x", "projected": {"sources": sources}}],
    }
    pod["status"] = {}
    return pod


class Stage:
    """A cluster with one Pod under a kubelet, in a lab that has the program."""

    def __init__(self, made: Any, home: Path, pod: Any, *, program: bool = True) -> None:
        authority = made.obj("ConfigMap", "kube-root-ca.crt", "kgateway-system", data={"ca.crt": "AUTHORITY"})
        self.pod, self.home = pod, home
        self.cluster = made.Cluster("cluster1", pod, authority)
        self.cluster.api = self.api = Api()
        self.cluster.set_status = lambda pod, status, manager: self.pod.update(status=status)
        self.lab: Any = self
        self.clusters = {"cluster1": self.cluster}
        self.programs: dict[str, Path] = {"kgateway": home / "kgateway"} if program else {}
        (home / "kgateway").write_text(f"#!{sys.executable} -u\n{PROGRAM}")
        (home / "kgateway").chmod(0o755)
        self.kubelet = Kubelet(PodPorts())

    def free_port(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return int(probe.getsockname()[1])

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, json.dumps(self.pod["status"], indent=1)
            self.kubelet.reconcile(self.lab)
            time.sleep(0.02)

    @property
    def status(self) -> dict[str, Any]:
        """The container's status, empty without one."""
        return dict((self.pod["status"].get("containerStatuses") or [{}])[0])

    @property
    def log(self) -> str:
        file = self.home / "logs" / "pods" / "cluster1" / str(self.pod["metadata"]["uid"]) / "controller.log"
        return file.read_text() if file.exists() else ""

    @property
    def root(self) -> Path:
        return pod_folder(self.lab, "cluster1", self.pod["metadata"]["uid"]) / "containers" / "controller"


@pytest.fixture
def stage(made: Any, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def make(pod: Any, **options: bool) -> Stage:
        stages.append(Stage(made, tmp_path, pod, **options))
        return stages[-1]

    yield make
    for each in stages:
        each.kubelet.stop()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


needs_namespace = pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"no network namespace: {NO_NAMESPACE}")


@needs_namespace
def test_the_program_has_the_containers_environment_and_the_accounts_token(made: Any, stage: Any) -> None:
    it = stage(controller(made))
    it.until(lambda: "\n" in it.log)
    said = json.loads(it.log.partition(" F ")[2].splitlines()[0])
    env = said["env"]
    assert {key: env.get(key) for key in ("KGW_LOG_LEVEL", "POD_NAMESPACE", "KGW_DISABLE_LEADER_ELECTION")} == {
        "KGW_LOG_LEVEL": "info",
        "POD_NAMESPACE": "kgateway-system",
        "KGW_DISABLE_LEADER_ELECTION": "true",
    }
    assert "GOMAXPROCS" not in env
    assert (said["server"], said["files"]) == (SERVER, ["TOKEN", "AUTHORITY"])
    path = "/api/v1/namespaces/kgateway-system/serviceaccounts/kgateway/token"
    assert it.api.tokens == [("POST", path, "kgateway-1")]


@needs_namespace
def test_the_pod_is_ready_while_the_program_is(made: Any, stage: Any) -> None:
    it = stage(controller(made))
    it.until(lambda: "\n" in it.log)
    it.until(lambda: "running" in it.status.get("state", {}))
    assert not it.status["ready"]
    (it.root / "ready").touch()
    it.until(lambda: bool(it.status["ready"]))
    (it.root / "ready").unlink()
    it.until(lambda: not it.status["ready"])


@needs_namespace
def test_a_program_that_ends_is_started_again(made: Any, stage: Any) -> None:
    it = stage(controller(made))
    it.until(lambda: "\n" in it.log)
    [program] = children(it.kubelet._pods["cluster1", "uid-kgateway-1"].children["controller"].pid)
    os.kill(program, signal.SIGKILL)
    it.until(lambda: bool(it.status["restartCount"]) and "running" in it.status["state"])
    assert it.status["lastState"]["terminated"]["exitCode"] == 128 + signal.SIGKILL


@needs_namespace
def test_another_pod_is_another_process_and_none_is_left(made: Any, stage: Any) -> None:
    it = stage(controller(made))
    it.until(lambda: "\n" in it.log)
    first, folder = it.kubelet._pods["cluster1", "uid-kgateway-1"].children["controller"].pid, it.root
    programs = children(first)
    it.cluster.objects.remove(it.pod)
    it.pod = controller(made)
    it.pod["metadata"]["uid"] = "uid-other"
    it.cluster.objects.append(it.pod)
    it.until(lambda: "\n" in it.log)
    second = it.kubelet._pods["cluster1", "uid-other"].children["controller"].pid
    it.until(lambda: not folder.exists())
    assert programs and not any(processes.running(pid, "") for pid in (first, *programs))
    it.kubelet.stop()
    assert not processes.running(second, "")


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("us-docker.pkg.dev/solo-public/enterprise-kgateway/enterprise-kgateway-controller:2.3.0", None),
        ("cr.kgateway.dev/kgateway-dev/kgateway-mirror:v2.4.0", None),
        ("cr.kgateway.dev/kgateway/envoy-wrapper:v2.4.0", None),
        (IMAGE, {"app": "kgateway"}),
    ],
)
def test_other_pods_have_no_program(made: Any, stage: Any, image: str, labels: dict[str, str] | None) -> None:
    it = stage(controller(made, image, labels))
    it.kubelet.reconcile(it.lab)
    assert it.pod["status"] == {} and it.log == ""


def test_without_the_program_kwok_serves_the_pod(made: Any, stage: Any) -> None:
    it = stage(controller(made), program=False)
    it.kubelet.reconcile(it.lab)
    assert it.pod["status"] == {}


@pytest.mark.parametrize(
    "image", [IMAGE, "kgateway", "registry:5000/mirror/kgateway", "cr.kgateway.dev/kgateway@sha256:0", "kgateway:dev"]
)
def test_images_of_the_controller(image: str) -> None:
    assert re.search(kwokctl.REAL_CONTROLLER, image)
