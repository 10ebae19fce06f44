"""The lab with an installed site: restarts killed processes, follows scaling, supports kubectl, keeps user files.

And what it plays of the vendor's products that unit tests cannot show.
"""

from __future__ import annotations

import base64
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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from acceptance import snapshot
from acceptance.breakages import APPS
from acceptance.changes import changed, named, removed, scaled_to_0, there
from acceptance.effects import connected, state
from acceptance.eyes import gateway_url, healthy
from acceptance.guide_changes import AGENT, EAST_WEST, SERVICES, registration, settings
from acceptance.site import REPO, Site, nothing_left, wait_until
from lab import charts, paths
from lab.control_plane import processes
from lab.control_plane.api import ApiError
from lab.control_plane.control_plane import ControlPlane
from lab.settings import SETTINGS, Setting
from lab.vendor.gloo_mesh.certificates import certificate, ec_key, key_pem, pem

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


def test_only_the_user_can_read_keys_and_kubeconfigs(deployed: Site) -> None:
    secret = [*deployed.home.rglob("*.key"), *deployed.home.rglob("*kubeconfig")]
    assert {each.name for each in secret} >= {"admin.key", "ca.key", "kubeconfig", "mgmt.kubeconfig"}
    assert [each for each in secret if each.stat().st_mode & 0o077] == []
    assert (deployed.home / "clusters").stat().st_mode & 0o077 == 0


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


@pytest.mark.share
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


ENTRIES = "/apis/networking.istio.io/v1/namespaces/bookinfo/{}"
EXTENSIONS = "/api/v1/namespaces/gloo-mesh/configmaps"
ISTIOD = APPS.format("istio-system", "istiod-gloo")
SECRETS = "/api/v1/namespaces/gloo-mesh/secrets"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/{}"
SELECTION = "PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES"


def _set(site: Site, *settings: str) -> None:
    site.lab("up", *(word for setting in settings for word in ("--set", setting))).ok()


@contextmanager
def _with(site: Site, *settings: str) -> Iterator[None]:
    """Other settings meanwhile."""
    before = json.loads((site.home / "settings.json").read_text())
    _set(site, *settings)
    try:
        yield
    finally:
        _set(site, *(f"{key}={before.get(key, default.default)}" for key, default in _rows(settings)))


def _rows(chosen: tuple[str, ...]) -> list[tuple[str, Setting]]:
    return [(text.partition("=")[0], SETTINGS[text.partition("=")[0]]) for text in chosen]


def _names(site: Site, cluster: str, kind: str) -> set[str]:
    """The Istio objects of a kind that Gloo Mesh has written to Bookinfo's namespace."""
    return {obj["metadata"]["name"] for obj in there(site, cluster, ENTRIES.format(kind))["items"]}


@pytest.mark.share
def test_others_keep_their_endpoints_to_a_cluster_until_its_agent_and_its_registration_are_gone(
    deployed: Site,
) -> None:
    remote, other = deployed.remote_cluster, deployed.gateway_cluster
    endpoints, entries = _names(deployed, other, "workloadentries"), _names(deployed, remote, "serviceentries")
    assert endpoints and entries
    register = removed("management", registration)(deployed)
    try:
        wait_until(lambda: connected(1)(deployed), "the cluster is not counted any more")
        # The agent is connected still: a new object of Bookinfo is translated, and the old endpoints stay.
        assert _names(deployed, other, "workloadentries") == endpoints
        start = scaled_to_0("remote", AGENT)(deployed)
        wait_until(lambda: not _names(deployed, other, "workloadentries"), "no endpoint to the cluster that went")
        assert _names(deployed, remote, "serviceentries") == entries  # nobody is there to delete them
        start()
        wait_until(lambda: _crash_loop(deployed) == "CrashLoopBackOff", "an agent that is not registered ends")
    finally:
        register()
    wait_until(lambda: _names(deployed, other, "workloadentries") == endpoints, "its endpoints again")
    wait_until(lambda: _crash_loop(deployed) == "", "the agent runs")
    wait_until(lambda: healthy(deployed), "the site at rest", 60)


def _crash_loop(site: Site) -> str:
    """Why the remote cluster's agent waits; empty when it runs."""
    pods = there(site, site.remote_cluster, "/api/v1/namespaces/gloo-mesh/pods?labelSelector=app%3Dgloo-mesh-agent")
    statuses = [status for pod in pods["items"] for status in pod["status"].get("containerStatuses") or [{}]]
    return str((statuses[0].get("state") or {}).get("waiting", {}).get("reason", "")) if statuses else "no Pod"


@pytest.mark.share
def test_endpoints_to_a_cluster_stay_while_its_agent_is_away(deployed: Site) -> None:
    other = deployed.gateway_cluster
    endpoints = _names(deployed, other, "workloadentries")
    start = scaled_to_0("remote", AGENT)(deployed)
    try:
        wait_until(lambda: connected(1)(deployed), "the agent is away")
        assert _names(deployed, other, "workloadentries") == endpoints
    finally:
        start()
    wait_until(lambda: connected(2)(deployed), "the agent is back")


@pytest.mark.share
def test_a_cluster_is_reached_by_the_node_port_of_its_east_west_gateway(deployed: Site) -> None:
    remote = deployed.remote_cluster
    [node] = there(deployed, remote, "/api/v1/nodes")["items"]
    address = next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "ExternalIP")
    to_node_port = changed("remote", EAST_WEST, {"spec": {"type": "NodePort"}})(deployed)
    try:
        ports = there(deployed, remote, EAST_WEST)["spec"]["ports"]
        node_port = next(port["nodePort"] for port in ports if port["name"] == "tls")
        selector = {"labels": {"istio": "eastwestgateway"}}
        gateways = [
            {
                "selector": {**selector, "cluster": remote},
                "hostInfoOverrides": [{"addr": address, "port": node_port}],
            },
            {"selector": {**selector, "cluster": deployed.gateway_cluster}},
        ]
        back = changed("management", settings, {"spec": {"options": {"eastWestGateways": gateways}}})(deployed)
        try:
            wait_until(lambda: state(settings, "ACCEPTED")(deployed), "the settings are accepted")
            wait_until(lambda: _remote_addresses(deployed) == {(address, node_port)}, "endpoints at the node port")
            wait_until(lambda: healthy(deployed), "traffic by the node port", 30)
        finally:
            back()
    finally:
        to_node_port()
    wait_until(lambda: healthy(deployed), "the site at rest", 60)


def _remote_addresses(site: Site) -> set[tuple[str, int]]:
    """Where the gateway's cluster reaches the other one."""
    found = there(site, site.gateway_cluster, ENTRIES.format("workloadentries"))["items"]
    return {(obj["spec"]["address"], obj["spec"]["ports"]["http-9080"]) for obj in found}


@pytest.mark.share
def test_only_values_in_the_configmap_reach_istiods_environment(deployed: Site) -> None:
    cluster = deployed.gateway_cluster

    def selection() -> str | None:
        containers = there(deployed, cluster, ISTIOD)["spec"]["template"]["spec"]["containers"]
        return next((entry["value"] for entry in containers[0]["env"] if entry["name"] == SELECTION), None)

    name = f"{EXTENSIONS}/gloo-extensions-config"
    if deployed.get(cluster, name) is not None:
        deployed.delete(cluster, name)
    with _with(deployed, "istiod-env=bare"):
        wait_until(lambda: selection() is None, "the operator sets nothing")
        values = {"values.istiod": f"env:\n  {SELECTION}: 'false'\n"}
        made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gloo-extensions-config"}, "data": values}
        deployed.create(cluster, EXTENSIONS, made)
        wait_until(lambda: selection() == "false", "the ConfigMap's value in istiod's environment")
        deployed.delete(cluster, name)
        wait_until(lambda: selection() is None, "gone with the ConfigMap")
    deployed.play("site").ok()  # its own ConfigMap, which cleanup deletes
    wait_until(lambda: selection() == "false" and healthy(deployed), "the site at rest", 90)


@pytest.mark.share
def test_the_operators_gateway_api_refuses_older_crds(empty: Site) -> None:
    cluster, crd = empty.remote_cluster, f"{CRDS}/gateways.gateway.networking.k8s.io"
    assert empty.get(cluster, crd) is None
    old = Path(empty.inventory["all"]["vars"]["gateway_api_crds"])
    with _with(empty, "operator-gateway-api=brought"), _released(empty, cluster, "gloo-operator", {}):
        wait_until(lambda: empty.get(cluster, crd) is not None, "the operator's CRDs")
        policy = POLICIES.format("validatingadmissionpolicybindings/safe-upgrades.gateway.networking.k8s.io")
        wait_until(lambda: empty.get(cluster, policy) is not None, "its policy")
        apply = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--filename", str(old))

        def refused() -> bool:
            run = empty.lab(*_kubectl(empty, "default", cluster), *apply)
            return run.code != 0 and "safe-upgrades.gateway.networking.k8s.io" in run.output

        wait_until(refused, "the policy in force")
        empty.delete(cluster, crd)
        wait_until(lambda: _bundle(empty, crd) == "v1.5.1", "written again")
    # They belong to no release.
    assert _bundle(empty, crd) == "v1.5.1"
    _without_gateway_api(empty)


def _without_gateway_api(site: Site) -> None:
    """What the operator leaves behind."""
    for cluster in site.group("workload"):
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            site.delete(cluster, POLICIES.format(f"{kind}/safe-upgrades.gateway.networking.k8s.io"))
        for found in there(site, cluster, CRDS)["items"]:
            if found["spec"]["group"] == "gateway.networking.k8s.io":
                site.delete(cluster, f"{CRDS}/{found['metadata']['name']}")


@pytest.mark.share
@pytest.mark.parametrize(
    "variant",
    [
        ("operator-gateway-api=brought",),
        ("operator-gateway-api=brought", "foreign-cacerts=kept", "gloo=2.11"),
        ("roots=early", "istiod-env=preset"),
        ("gloo=2.11", "operator=0.4"),
        ("roots=early", "operator=0.4", "istiod-env=bare"),
    ],
    ids=",".join,
)
def test_the_guide_with_variants_of_the_vendors_products(
    empty: Site, before: dict[str, snapshot.Snapshot], variant: tuple[str, ...]
) -> None:
    with _with(empty, *variant):
        empty.play("site").ok()
        assert empty.play("site").ok().changed == {}
        assert healthy(empty)
        empty.play("doctor").ok()
        empty.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true").ok()
        nothing_left(lambda: snapshot.all_differences(before, snapshot.take(empty)))


def _bundle(site: Site, crd: str) -> str:
    found = site.get(site.remote_cluster, crd) or {"metadata": {}}
    annotations = found["metadata"].get("annotations") or {}
    return str(annotations.get("gateway.networking.k8s.io/bundle-version", ""))


@pytest.mark.share
def test_server_and_agent_with_user_supplied_certificates_and_licence(empty: Site) -> None:
    """No root Secret and no token exist anywhere; the agent's certificate was signed by an intermediate."""
    management, remote = empty.management, empty.remote_cluster
    root, between, key = ec_key(), ec_key(), ec_key()
    root_cert = certificate("company root", root, None, authority=True)
    between_cert = certificate("company intermediate", between, (root_cert, root), authority=True)
    server = certificate("server", key, (root_cert, root), names=["gloo-mesh-mgmt-server.gloo-mesh"])
    client = certificate(remote, key, (between_cert, between), names=[remote])
    secrets = {
        (management, "mgmt-server-tls"): {"tls.crt": pem(server), "tls.key": key_pem(key), "ca.crt": pem(root_cert)},
        (management, "own-licence"): {"gloo-trial-license-key": b"trial"},
        (remote, "agent-tls"): {
            "tls.crt": pem(client) + pem(between_cert),
            "tls.key": key_pem(key),
            "ca.crt": pem(root_cert),
        },
    }
    for (cluster, name), data in secrets.items():
        if empty.get(cluster, "/api/v1/namespaces/gloo-mesh") is None:
            empty.create(cluster, "/api/v1/namespaces", {"metadata": {"name": "gloo-mesh"}})
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        empty.create(cluster, SECRETS, {"metadata": {"name": name}, "data": encoded})
    relay = {"disableCa": True, "disableCaCertGeneration": True, "disableTokenGeneration": True}
    server_values = {
        "common": {"cluster": management},
        "licensing": {"licenseSecretName": "own-licence"},
        "glooMgmtServer": {"enabled": True, "relay": {"tlsSecret": {"name": "mgmt-server-tls"}, **relay}},
    }
    with (
        _released(empty, management, "gloo-platform-crds", {}),
        _released(empty, management, "gloo-platform", server_values),
    ):
        service = f"{SERVICES.format('gloo-mesh')}/gloo-mesh-mgmt-server"
        wait_until(lambda: bool(there(empty, management, service)["status"].get("loadBalancer")), "an address")
        [ingress] = there(empty, management, service)["status"]["loadBalancer"]["ingress"]
        registered = {"apiVersion": "admin.gloo.solo.io/v2", "kind": "KubernetesCluster", "metadata": {"name": remote}}
        empty.create(management, registration(empty).rpartition("/")[0], {**registered, "spec": {}})
        agent_relay = {"serverAddress": f"{ingress['ip']}:9900", "clientTlsSecret": {"name": "agent-tls"}}
        agent_values = {"common": {"cluster": remote}, "glooAgent": {"enabled": True, "relay": agent_relay}}
        with _released(empty, remote, "gloo-platform", agent_values):
            wait_until(lambda: state(registration, "ACCEPTED")(empty), "the server is licensed", 30)
            pods = "/api/v1/namespaces/gloo-mesh/pods?labelSelector=app%3Dgloo-mesh-agent"
            [pod] = there(empty, remote, pods)["items"]
            log = f"/api/v1/namespaces/gloo-mesh/pods/{pod['metadata']['name']}/log?tailLines=1"
            wait_until(lambda: "connected to relay server" in _log(empty, remote, log), "the agent connects", 30)
        for name in (management, remote):
            found = {secret["metadata"]["name"] for secret in there(empty, name, SECRETS)["items"]}
            assert not {"relay-root-tls-secret", "relay-identity-token-secret"} & found
        empty.delete(management, registration(empty))
    for name in (management, remote):
        empty.delete(name, "/api/v1/namespaces/gloo-mesh")
        wait_until(lambda name=name: empty.get(name, "/api/v1/namespaces/gloo-mesh") is None, "no namespace")  # type: ignore[misc]


def _log(site: Site, cluster: str, path: str) -> str:
    """A log; empty while the container has none."""
    try:
        return site.api(cluster).text(path)
    except ApiError:
        return ""


@contextmanager
def _released(site: Site, cluster: str, chart: str, values: Mapping[str, object]) -> Iterator[None]:
    """A release of one of the vendor's charts in namespace gloo-mesh, named like its chart."""
    helm = ("exec", "--", "helm", "--kube-context", cluster, "--namespace", "gloo-mesh")
    namespace = "/api/v1/namespaces/gloo-mesh"
    was_there = site.get(cluster, namespace) is not None
    file = site.home / f"{cluster}-{chart}.values.json"
    file.write_text(json.dumps(values))
    folder = charts.references(site.home)[chart]
    site.lab(*helm, "upgrade", "--install", chart, folder, "--values", str(file), "--create-namespace").ok()
    try:
        yield
    finally:
        site.lab(*helm, "uninstall", chart, "--wait").ok()
        file.unlink()
        if not was_there:
            site.delete(cluster, namespace)
            wait_until(lambda: site.get(cluster, namespace) is None, "the end of the namespace", 60)


def _crds(site: Site, version: str, *options: str) -> set[str]:
    """Names of the CRDs that a version of gloo-platform-crds brings."""
    folder = str(charts.folder(site.home, "gloo-platform-crds", version))
    text = site.lab("exec", "--", "helm", "template", "crds", folder, *options).ok().output
    return set(re.findall(r"^  name: (\S+\.solo\.io)$", text, re.MULTILINE))


@pytest.mark.share
def test_the_platforms_crd_chart_has_switches_and_its_groups_depend_on_the_version(three_clusters: Site) -> None:
    shared = {"authconfigs.extauth.solo.io", "ratelimitconfigs.ratelimit.solo.io"}
    all_of_them = _crds(three_clusters, "2.14")
    assert shared < all_of_them
    off = ("--set", "installExtAuthCRDs=false", "--set", "installRateLimitCRDs=false")
    assert _crds(three_clusters, "2.14", *off) == all_of_them - shared
    groups = {name.partition(".")[2] for name in all_of_them}
    assert "extensions.policy.gloo.solo.io" in groups and "extensions.gloo.solo.io" not in groups
    assert {name.partition(".")[2] for name in _crds(three_clusters, "2.11")} < groups
