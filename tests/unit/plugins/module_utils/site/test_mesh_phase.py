"""The steps of each phase in each kind of cluster, with engines that note how they are called."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Invalid
from ansible_collections.multicluster.gloo.plugins.module_utils.site import mesh_phase

Json = dict[str, Any]
NONE: Json = {"facts": {}, "name": "", "namespace": "", "state": "absent", "manage": True, "install": True}
RELEASE: Json = {"release": {"name": "r", "namespace": "gloo"}}
LAYERS: dict[str, dict[str, Json]] = {
    "mgmt": {
        "crds": {**NONE, **RELEASE},
        "platform": {
            **NONE,
            **RELEASE,
            "namespace": "gloo",
            "name": "server",
            "facts": {
                "relay_address": "192.0.2.1:9900",
                "telemetry_address": "",
                "relay_service": "server",
                "telemetry_service": "telemetry",
                "authority": "server.gloo",
                "licence": "",
                "own_relay_certificates": "",
            },
        },
        "workspace": {**NONE, "facts": {"spec": {}}},
        "trust": {**NONE, "facts": {"governs": False}},
    },
    "east": {
        "crds": {**NONE, **RELEASE},
        "agent": {
            **NONE,
            **RELEASE,
            "namespace": "gloo",
            "name": "agent",
            "facts": {"relay_address": "", "registered": False, "registration_ours": False, "uid": "u"},
        },
        "istio": {**NONE, "facts": {"istiods": [], "deployments": []}},
        "operator": {**NONE, **RELEASE, "namespace": "gloo", "facts": {"debug_namespaces": []}},
        "eastwest": {
            **NONE,
            **RELEASE,
            "namespace": "istio-eastwest",
            "name": "ew",
            "facts": {"deployments": [], "address": "192.0.2.9"},
        },
    },
}
CHART: Json = {"ref": "chart"}
SETTINGS: Json = {
    **{f"{name}_chart": CHART for name in ("crds", "platform", "operator", "eastwest")},
    **{f"{name}_values": {} for name in ("crds", "management", "agent", "operator", "eastwest")},
    **dict.fromkeys(("relay_address", "telemetry_address", "relay_authority"), ""),
    **{f"{name}_namespace": name for name in ("config", "istio", "eastwest")},
    **{f"{name}_spec": {} for name in ("istio_controller", "workspace_settings", "root_trust_policy")},
    **{name: {} for name in ("istiod_env", "operator_extensions", "owned_crds")},
    **{f"{name}_name": name for name in ("cluster", "istio_controller", "eastwest", "workspace", "root_trust_policy")},
    **{name: name for name in ("license_key", "istio_license_key", "operator_license_env", "cluster_domain")},
    "relay_secrets": "auto",
    "istio_version": "1.27.0",
    "istio_revision": "gloo",
    "restart_namespaces": ["app"],
    "on_conflict": "fail",
    "on_release_conflict": "fail",
    "wait_timeout": 77,
}
Calls = list[tuple[str, Json, bool]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """What the engines were called with: (engine, parameters, check)."""
    found: Calls = []

    def noting(name: str) -> Any:
        def engine(params: Json, check: bool, progress: Any) -> Json:
            found.append((name, params, check))
            written = name != "objects_info"
            parts = [] if written else params["objects"]
            records = [{"kind": each["kind"], "address": "192.0.2.7"} for each in parts if each["kind"] == "Service"]
            diff: Any = [{"before": "", "after": name}]
            return {"changed": written, "msg": name, "requests": 2, "writes": 1, "objects": records, "diff": diff}

        return engine

    engines = {name: (noting(name), spec) for name, (_run, spec) in mesh_phase._ENGINES.items()}
    monkeypatch.setattr(mesh_phase, "_ENGINES", engines)
    return found


def run(phase: str, host: str, check: bool = False, settings: Json | None = None, **changes: Json) -> Json:
    """A phase on a host; ``changes``: of records, by host_layer."""
    layers = copy.deepcopy(LAYERS)
    for place, change in changes.items():
        where, layer = place.split("_")
        record = layers[where][layer]
        layers[where][layer] = {**record, **change, "facts": {**record["facts"], **change.get("facts", {})}}
    return phase_of(phase, host, {**SETTINGS, **(settings or {})}, layers, check)


def phase_of(phase: str, host: str, settings: Json, layers: Json = LAYERS, check: bool = False) -> Json:
    """A phase with these settings and layers and no others."""
    management = {"host": "mgmt", "kubeconfig": "m", "context": "m", "cluster": "mgmt", "runs": True}
    params = {"kubeconfig": "k", "context": host, "cluster": host, "phase": phase, "host": host, "layers": layers}
    given = {"settings": settings, "management": management, "binary_path": "helm3"}
    return mesh_phase.run({**params, **given}, check, lambda line: None)


def told(calls: Calls) -> list[str]:
    """What was done, in order: kinds of objects, names of releases."""
    found = []
    for name, params, _check in calls:
        if name == "objects":
            found += [each["kind"] for each in params["definitions"]]
        elif name == "objects_info":
            found += [f"await {each['kind']} {each['name']}" for each in params["objects"]]
        else:
            found.append(name)
    return found


@pytest.mark.parametrize(
    ("phase", "host", "expected"),
    [
        ("plan", "mgmt", []),
        ("plan", "east", []),
        ("check", "mgmt", ["helm_release"] * 2),
        ("check", "east", ["helm_release"] * 4),
        (
            "install",
            "mgmt",
            [
                *["Namespace"] * 2,
                *["helm_release"] * 2,
                *[f"await {part}" for part in ("Deployment server", "Service server", "Service telemetry")],
            ],
        ),
        ("install", "east", ["Namespace", "Namespace", "Namespace", "helm_release"]),
        ("register", "mgmt", ["Workspace", "WorkspaceSettings"]),
        ("register", "east", ["KubernetesCluster", "relay_secrets", "helm_release", "await Deployment agent"]),
        ("istio", "mgmt", []),
        (
            "istio",
            "east",
            ["ConfigMap", "helm_release", "ServiceMeshController", "await Deployment istiod-gloo"],
        ),
        ("trust", "mgmt", ["RootTrustPolicy"]),
        ("trust", "east", []),
        ("eastwest", "mgmt", []),
        (
            "eastwest",
            "east",
            ["await Secret cacerts", "workload_restart", "helm_release", "await Service ew", "await Deployment ew"],
        ),
    ],
)
def test_the_steps_of_a_phase_in_their_order(calls: Calls, phase: str, host: str, expected: list[str]) -> None:
    result = run(phase, host)
    assert told(calls) == expected
    assert len(result["steps"]) == len(calls) == len(result["diff"])
    assert (result["requests"], result["writes"]) == (2 * len(calls), len(calls))
    assert result["changed"] is any(name != "objects_info" for name, _params, _check in calls)


USED: Json = {"manage": False, "install": False, "state": "external"}


@pytest.mark.parametrize("phase", ["check", "install", "register", "istio", "trust", "eastwest"])
def test_layers_that_are_only_used_are_never_written(calls: Calls, phase: str) -> None:
    used: Any = {f"{host}_{layer}": USED for host, layers in LAYERS.items() for layer in layers}
    used["east_istio"] = {**USED, "facts": {"istiods": [{"revision": "r", "namespace": "istio", "address": "a"}]}}
    for host in LAYERS:
        assert run(phase, host, **used)["changed"] is False
    assert {name for name, _params, _check in calls} <= {"objects_info"}


def test_every_step_has_the_limit_of_the_role_and_its_own_cluster(calls: Calls) -> None:
    for phase in mesh_phase.PHASES:
        for host in LAYERS:
            run(phase, host)
    for name, params, _check in calls:
        assert params.get("wait_timeout", 77) == 77 and params.get("timeout", "77s") == "77s", name
        assert params.get("binary_path", "helm3") == "helm3"
        there = name == "objects" and params["definitions"][0]["kind"] == "KubernetesCluster"
        assert params["cluster"] == ("mgmt" if there else params["cluster"])
        assert set(params) == set(mesh_phase._ENGINES[name][1]), name
    [registered] = [each for _name, each, _check in calls if "KubernetesCluster" in str(each.get("definitions"))]
    assert (registered["kubeconfig"], registered["context"], registered["cluster"]) == ("m", "m", "mgmt")


def test_in_check_mode_nothing_is_waited_for(calls: Calls) -> None:
    for phase in mesh_phase.PHASES:
        for host in LAYERS:
            run(phase, host, check=True)
    assert all(check for _name, _params, check in calls)
    assert {each["wait_for"] for name, each, _check in calls if name == "objects_info"} == {"none"}


def test_an_unknown_relay_address_ends_the_phase_before_its_first_step(calls: Calls) -> None:
    with pytest.raises(Invalid, match=r"mgmt: Service gloo/server has no known external address.*mesh_relay_address"):
        run("register", "east", mgmt_platform={"facts": {"relay_address": ""}})
    assert calls == []
    run("register", "east", check=True, mgmt_platform={"facts": {"relay_address": ""}})  # it is not installed yet


def test_all_problems_of_releases_are_told_at_once(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(params: Json, check: bool, progress: Any) -> Json:
        raise Invalid(f"{params['cluster']}: Helm release {params['namespace']}/{params['name']}: is taken")

    spec = mesh_phase._ENGINES["helm_release"][1]
    monkeypatch.setitem(mesh_phase._ENGINES, "helm_release", (refusing, spec))
    with pytest.raises(Invalid) as found:
        run("check", "mgmt", mgmt_platform={"release": {"name": "other", "namespace": "gloo"}})
    assert found.value.msg == ("mgmt: Helm release gloo/r: is taken; mgmt: Helm release gloo/other: is taken")
    with pytest.raises(ClusterError) as first:
        run("install", "mgmt")
    assert [each["msg"] for each in first.value.facts["steps"]] == ["objects"]
    # What a phase has changed before it failed is told as a change.
    assert first.value.facts["changed"] is True
    assert first.value.facts["diff"] == [{"before": "", "after": "objects"}]


def test_a_missing_setting_or_host_is_named_before_the_first_step(calls: Calls) -> None:
    for phase in mesh_phase.PHASES:
        for host in LAYERS:
            for missing in SETTINGS:
                del calls[:]
                given = {name: value for name, value in SETTINGS.items() if name != missing}
                try:
                    phase_of(phase, host, given)
                except Invalid as exc:
                    assert f"settings lack {missing}" in exc.msg
                    assert calls == []
    with pytest.raises(Invalid, match="layers lack west"):
        phase_of("install", "west", SETTINGS)


def test_the_address_of_a_new_gateway_is_published(calls: Calls) -> None:
    assert run("eastwest", "east")["facts"]["eastwest_address"] == "192.0.2.7"
    assert run("eastwest", "east", east_eastwest=USED)["facts"]["eastwest_address"] == "192.0.2.9"
    facts = run("eastwest", "mgmt")["facts"]
    assert facts == {"namespace": "gloo", "relay_address": "192.0.2.1:9900", "telemetry_address": ""}


def test_licences_and_values_of_the_user_are_secrets() -> None:
    settings = {**SETTINGS, "agent_values": {"token": "hidden-in-values"}, "istiod_env": {"X": "shown"}}
    found = mesh_phase.secrets({"settings": settings})
    assert found >= {"license_key", "istio_license_key", "hidden-in-values"}
    assert "shown" not in found
