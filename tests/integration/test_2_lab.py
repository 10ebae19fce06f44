"""The lab with an installed site: restarts killed processes, follows scaling, supports kubectl, keeps user files."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from acceptance.breakages import APPS
from acceptance.changes import named, there
from acceptance.eyes import gateway_url, healthy
from acceptance.site import REPO, Site, wait_until
from lab import paths
from lab.control_plane import processes
from lab.control_plane.api import ApiError
from lab.control_plane.control_plane import ControlPlane

BUDGET = 2.0  # seconds until traffic follows a change, on a machine with nothing else to do
CANARY = "this: is: not: a kubeconfig [\n"
V2 = APPS.format("bookinfo", "reviews-v2")


def test_up_heals_a_killed_api_server_and_supervisor(deployed: Site) -> None:
    server = ControlPlane(deployed.home, deployed.gateway_cluster, 0)
    killed = {
        "lab.supervise": processes.read_pid(deployed.home / "supervisor.pid"),
        "kube-apiserver": server.component_pid("kube-apiserver"),
    }
    mine = processes.of_lab(deployed.home)
    for word, pid in killed.items():
        assert pid in mine and processes.running(pid, word), f"{word} does not run as {pid}"

    for pid in killed.values():  # the supervisor first: it would start the other again
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(processes.running(pid, "") for pid in killed.values()), "both dead")
    assert deployed.lab("status").code == 1
    deployed.up()

    # Parts that asked a webhook while istiod was starting say so until they try again.
    wait_until(lambda: deployed.lab("status").code == 0, "every part healthy", 60)
    assert server.component_pid("kube-apiserver") not in (0, killed["kube-apiserver"])
    assert processes.read_pid(deployed.home / "supervisor.pid") != killed["lab.supervise"]
    wait_until(lambda: healthy(deployed), "the site at rest after the lab was healed", 120)
    # kwok looks for an API server that was gone at growing intervals, for each of its kinds.
    wait_until(lambda: deployed.lab(*_asked_inside(deployed)).code == 0, "exec again", 90)
    wait_until(lambda: _answers_forwarded(deployed), "port-forward again", 90)
    deployed.play("verify").ok()


def test_traffic_follows_the_scale_of_reviews_v2(deployed: Site) -> None:
    gone = _scale_and_follow(deployed, 0)
    back = _scale_and_follow(deployed, 1)
    deployed.note(f"traffic leaves reviews-v2 scaled to 0, {gone / BUDGET:.2f} of {BUDGET:.0f} s", gone)
    deployed.note(f"traffic comes back to reviews-v2, {back / BUDGET:.2f} of {BUDGET:.0f} s", back)
    wait_until(lambda: healthy(deployed), "the site at rest", 60)


def _scale_and_follow(site: Site, replicas: int) -> float:
    """Seconds until reviews-v2 answers for the first time, or has answered (or failed) for the last time."""
    url = f"{gateway_url(site)}/reviews/0"
    start = last = time.monotonic()
    site.patch(site.gateway_cluster, V2, {"spec": {"replicas": replicas}})
    quiet = 0  # answers of others in a row; one of three misses 40 at random once in ten million times
    while quiet < 40:
        assert time.monotonic() < start + 60, f"traffic does not follow reviews-v2 at {replicas} replicas"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                by_v2 = json.load(answer)["podname"].startswith("reviews-v2")
        except (urllib.error.URLError, OSError):
            by_v2 = replicas == 0  # a Pod that ends may fail those who still ask it
        if by_v2 and replicas:
            return time.monotonic() - start
        if by_v2:
            last = time.monotonic()
        quiet = 0 if by_v2 or replicas else quiet + 1
    return last - start


def test_exec_answers_from_inside_the_mesh(deployed: Site) -> None:
    run = deployed.lab(*_asked_inside(deployed)).ok()
    told = json.loads(run.output[run.output.index("{") : run.output.rindex("}") + 1])
    assert told["podname"].startswith("reviews-v")
    assert told["clustername"] in deployed.group("workload")


def test_port_forward_to_the_gateway_answers(deployed: Site) -> None:
    assert _answers_forwarded(deployed)


def _asked_inside(site: Site) -> tuple[str, ...]:
    curl = ("curl", "--silent", "http://reviews:9080/reviews/0")
    return (*_kubectl(site, "bookinfo"), "exec", "deploy/productpage-v1", "--", *curl)


def _answers_forwarded(site: Site) -> bool:
    try:
        with (
            _forwarded(site, "svc/http", 8080) as url,
            urllib.request.urlopen(f"{url}/reviews/0", timeout=10) as answer,
        ):
            return str(json.load(answer)["podname"]).startswith("reviews-v")
    except (http.client.HTTPException, OSError):
        return False


def _kubectl(site: Site, namespace: str, cluster: str = "") -> tuple[str, ...]:
    return ("exec", "--", "kubectl", "--context", cluster or site.gateway_cluster, "--namespace", namespace)


@contextmanager
def _forwarded(site: Site, target: str, port: int, cluster: str = "", namespace: str = "gloo-system") -> Iterator[str]:
    """URL of a free local port that kubectl forwards to `target`."""
    kubectl = _kubectl(site, namespace, cluster)
    command = [sys.executable, "-m", "lab", *kubectl, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, cwd=REPO, env=site.environment(), stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            line = forward.stdout.readline()  # "Forwarding from 127.0.0.1:40000 -> 8080"
            if not line.startswith("Forwarding from 127.0.0.1:"):
                raise ConnectionError(f"kubectl port-forward {target}: {line!r}")
            yield f"http://{line.split()[2]}"
        finally:
            forward.terminate()


@pytest.mark.parametrize(
    ("role", "namespace", "app", "says"),
    [
        ("management", "gloo-mesh", "app=gloo-mesh-mgmt-server", r'relay client of cluster \\"[\w-]+\\" connected'),
        ("remote", "gloo-mesh", "app=gloo-mesh-agent", r"connected to relay server 127\."),
        ("remote", "gloo-mesh", "app.kubernetes.io/name=gloo-operator", r"managed-istio: SUCCEEDED"),
        ("gateway", "gloo-system", "app.kubernetes.io/name=gloo-gateway", r"Gateway gloo-system/http: reconciled"),
        ("remote", "istio-system", "app=istiod", r"\b(info|warn|error)\b"),
    ],
    ids=["management server", "agent", "operator", "gateway controller", "istiod"],
)
def test_logs_end_with_what_was_said_last(deployed: Site, role: str, namespace: str, app: str, says: str) -> None:
    cluster = named(deployed, role)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    [pod] = there(deployed, cluster, f"{pods}?labelSelector={quote(app)}")["items"]

    def ends_so() -> bool:
        log = deployed.api(cluster).text(f"{pods}/{pod['metadata']['name']}/log?tailLines=1")
        print(log)
        assert len(log.splitlines()) == 1
        return re.search(says, log) is not None

    wait_until(ends_so, f"the log of {app} ends with {says}", 30)


def test_a_program_without_a_log_has_none_to_show(deployed: Site) -> None:
    pods = "/api/v1/namespaces/bookinfo/pods"
    pod = there(deployed, deployed.gateway_cluster, f"{pods}?labelSelector=app%3Dratings")["items"][0]
    with pytest.raises(ApiError, match="no logs found for container"):
        deployed.api(deployed.gateway_cluster).text(f"{pods}/{pod['metadata']['name']}/log?container=ratings")


def test_metrics_count_the_connected_agents(deployed: Site) -> None:
    with (
        _forwarded(deployed, "deploy/gloo-mesh-mgmt-server", 9091, deployed.management, "gloo-mesh") as url,
        urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer,
    ):
        counted = re.findall(
            r'^relay_push_clients_connected\{cluster="([^"]+)"\} 1$', answer.read().decode(), re.MULTILINE
        )
    assert sorted(counted) == sorted(deployed.group("workload"))


def test_the_users_kubeconfig_stays_untouched(deployed: Site, tmp_path: Path) -> None:
    config = tmp_path / ".kube" / "config"
    config.parent.mkdir()
    config.write_text(CANARY)  # whoever reads it fails
    os.utime(config, (1, 1))
    as_user = ("env", "--unset=KUBECONFIG", f"HOME={tmp_path}", f"LAB_CACHE={paths.cache()}")

    deployed.run(*as_user, "make", "verify", f"LAB_HOME={deployed.home}").ok()
    deployed.run(*as_user, "make", "site", f"LAB_HOME={deployed.home}", "ARGS=--tags=step5").ok()
    deployed.run(*as_user, sys.executable, "-m", "lab", *_kubectl(deployed, "bookinfo"), "get", "pods").ok()

    assert config.read_text() == CANARY
    assert config.stat().st_mtime == 1
