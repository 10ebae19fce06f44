"""Reading a cluster, and executing a plan phase by phase, against an API server over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup import cleanup, cleanup_info
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.plan import PHASES

from .objects import EARLIER, LATER, NOTED, OURS, Json, adopted, build, crd, helm_record, note, ours

PLURALS = {
    "gateway.networking.k8s.io/v1": {
        "gatewayclasses": ("GatewayClass", False),
        "gateways": ("Gateway", True),
        "httproutes": ("HTTPRoute", True),
    },
    "agentgateway.dev/v1alpha1": {"agentgatewayparameters": ("AgentgatewayParameters", True)},
    "networking.gloo.solo.io/v2": {
        "virtualdestinations": ("VirtualDestination", True),
        "routetables": ("RouteTable", True),
    },
}


def quiet(line: str) -> None:
    """Progress that nobody sees."""


class Playground:
    """One cluster, and the role's tasks on it."""

    def __init__(self, api: Any, kubeconfig: Any) -> None:
        self.api = api
        api.kinds["v1"] |= {"serviceaccounts": ("ServiceAccount", True)}
        api.kinds |= PLURALS
        self.connection = {"kubeconfig": str(kubeconfig), "context": "fake", "cluster": "c"}

    def has(self, *objects: Json) -> None:
        for obj in objects:
            meta = obj["metadata"]
            place = meta.get("namespace")
            if place and self.api.get("v1", "namespaces", "", place) is None:
                self.api.write("v1", "namespaces", "", build("Namespace", place, labels={"made-for": "tests"}))
            kinds = self.api.kinds[obj["apiVersion"]]
            [plural] = [plural for plural, (kind, _scope) in kinds.items() if kind == obj["kind"]]
            self.api.write(obj["apiVersion"], plural, meta.get("namespace") or "", obj)

    def plan(self, check: bool = False, **options: Any) -> Json:
        return cleanup_info.run({**self.connection, **options}, check, quiet)

    def clean(self, check: bool = False, **options: Any) -> tuple[list[str], bool]:
        """(summary, changed) of all phases, as the role runs them."""
        steps = self.plan(check, **options)["steps"]
        changed, lines = False, []
        for phase in PHASES:
            if phase == "crds":
                steps = self.plan(check, steps=steps, phases=["crds", "namespaces"], **options)["steps"]
            params = {**self.connection, "phase": phase, "steps": steps, "wait_timeout": 5}
            result = cleanup.run(params, check, quiet)
            changed, lines = changed or result["changed"], result["summary"]
        return lines, changed

    def names(self) -> set[str]:
        """kind/name of everything but namespaces of Kubernetes and those that others need for their objects."""
        objects = [obj for obj in self.api.objects.values() if "made-for" not in (obj["metadata"].get("labels") or {})]
        found = {f"{obj['kind']}/{obj['metadata']['name']}" for obj in objects}
        return found - {"Namespace/default", "Namespace/kube-system"}


@pytest.fixture
def cluster(fake: Any) -> Playground:
    return Playground(*fake)


def lines(result: Json) -> list[str]:
    return [f"{step['phase']}: {step['action']} {step['kind']} {step['name']}" for step in result["steps"]]


def test_an_empty_cluster_has_an_empty_plan(cluster: Playground) -> None:
    result = cluster.plan()
    assert (result["steps"], result["summary"]) == ([], ["nothing to remove"])
    assert result["msg"] == "c: nothing to remove"
    assert cluster.clean() == (["nothing to remove"], False)
    assert cluster.api.writes() == []


def test_objects_of_ours_and_adopted_ones_are_found_in_every_kind_by_their_marks(cluster: Playground) -> None:
    cluster.has(
        ours("Namespace", "bookinfo"),
        ours("HTTPRoute", "renamed", "anywhere"),
        ours("AgentgatewayParameters", "custom", "gloo-system"),
        adopted("Gateway", "http", "gloo-system", spec={}),
        adopted("VirtualDestination", "vd", "bookinfo"),
        ours("ConfigMap", "gloo-extensions-config", "operators"),
        adopted("ConfigMap", "gloo-extensions-config", "gloo-mesh"),
        build("ConfigMap", "gloo-extensions-config", "shop"),
        ours("Secret", "relay", "gloo-mesh"),
        build("Secret", "theirs", "gloo-mesh"),
        build("HTTPRoute", "theirs", "anywhere"),
        build("AgentgatewayParameters", "theirs", "gloo-system"),
    )
    assert lines(cluster.plan()) == [
        "routes: delete HTTPRoute renamed",
        "gateway: give back Gateway http",
        "gateway: delete AgentgatewayParameters custom",
        "destinations: give back VirtualDestination vd",
        "agents: give back ConfigMap gloo-extensions-config",
        "agents: delete ConfigMap gloo-extensions-config",
        "platform: delete Secret relay",
        "namespaces: delete Namespace bookinfo",
    ]


CHART_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: things.a.io
"""
CONTROLLER = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: renamed-controller
spec:
  template:
    spec:
      containers:
        - name: controller
          env: [{name: KGW_ENABLE_ISTIO_AUTO_MTLS, value: "true"}]
"""


def noted(release: str, namespace: str, former: str = "", **annotations: str) -> Json:
    """The note about a release, its annotations under the prefix of this collection."""
    found = note(release, namespace)
    all_of_them = {"former_revision": former, **annotations}
    found["metadata"]["annotations"] = {
        f"multicluster.gloo/{name.replace('_', '-')}": text for name, text in all_of_them.items()
    }
    found["metadata"]["labels"] |= OURS
    return found


@pytest.mark.parametrize(
    ("stored", "note_of", "expected"),
    [
        (helm_record("edge", chart="gateway"), noted("edge", "team"), "application: uninstall Helm release edge"),
        (helm_record("gw", manifest=CONTROLLER), noted("gw", "team"), "application: uninstall Helm release gw"),
        (helm_record("op", chart="gloo-operator"), noted("op", "team"), "agents: uninstall Helm release op"),
        (helm_record("gp", chart="gloo-platform"), noted("gp", "team"), "agents: uninstall Helm release gp"),
        (
            helm_record("gp", chart="gloo-platform", values={"glooMgmtServer": {"enabled": True}}),
            noted("gp", "team"),
            "platform: uninstall Helm release gp",
        ),
        (
            helm_record("crds", crds=CHART_CRD),
            noted("crds", "team", only_crds="true"),
            "crds: keep Helm release crds",
        ),
    ],
    ids=["east-west", "controller", "operator", "agent", "server", "crds"],
)
def test_a_release_goes_in_the_phase_of_what_it_is(
    cluster: Playground, stored: Json, note_of: Json, expected: str
) -> None:
    cluster.has(stored, note_of)
    assert expected in lines(cluster.plan())


def test_a_release_without_our_note_is_no_part_of_the_plan(cluster: Playground) -> None:
    cluster.has(helm_record("edge", chart="gloo-operator"))
    assert lines(cluster.plan()) == []


def test_our_controller_is_switched_off_for_a_gateway_that_stays(cluster: Playground) -> None:
    cluster.has(
        helm_record("gw", manifest=CONTROLLER), noted("gw", "team"), adopted("Gateway", "http", "gloo-system", spec={})
    )
    [first, *_rest] = cluster.plan()["steps"]
    assert (first["action"], first["namespace"], first["name"]) == ("switch off", "team", "renamed-controller")


def test_a_release_of_others_that_was_not_changed_is_left_alone(cluster: Playground) -> None:
    cluster.has(helm_record("edge", 3), noted("edge", "team", former="3"))
    assert lines(cluster.plan()) == ["namespaces: delete ConfigMap multicluster.gloo.edge"]


def test_a_release_that_others_installed_again_is_named_and_left_alone(cluster: Playground) -> None:
    stored = helm_record("edge", installed="2026-01-05T00:00:00Z")
    cluster.has(stored, noted("edge", "team", installed="2026-01-02T00:00:00Z"))
    result = cluster.plan()
    assert lines(result) == [
        "application: keep Helm release edge",
        "namespaces: delete ConfigMap multicluster.gloo.edge",
    ]
    reason = "was uninstalled and installed again by another owner"
    assert result["warnings"] == [f"c: Helm release team/edge is kept: {reason}"]


def test_what_others_need_is_named_before_anything_is_removed(cluster: Playground) -> None:
    """Gateways of others, and routes of every kind on a Gateway of ours."""
    cluster.api.kinds["gateway.networking.k8s.io/v1"] |= {"grpcroutes": ("GRPCRoute", True)}
    on_class: Json = {"gatewayClassName": "gloo-gateway-v2"}
    grpc = build("GRPCRoute", "orders", "shop", spec={"parentRefs": [{"name": "http", "namespace": "gloo-system"}]})
    cluster.has(
        helm_record("gw", manifest=CONTROLLER),
        noted("gw", "team"),
        ours("Namespace", "gloo-system"),
        ours("Gateway", "http", "gloo-system", spec=on_class),
        build("Gateway", "edge", "shop", spec=on_class),
        {**grpc, "apiVersion": "gateway.networking.k8s.io/v1"},
        build("GatewayClass", "gloo-gateway-v2", spec={"controllerName": "solo.io/gloo-gateway-v2"}),
    )
    before = cluster.names()
    result = cluster.plan()
    assert result["warnings"] == [
        "c: Gateway gloo-system/http is kept: needed by GRPCRoute shop/orders",
        "c: Helm release team/gw is kept: needed by Gateway gloo-system/http, Gateway shop/edge",
    ]
    assert "warnings" not in cluster.plan(steps=result["steps"], phases=["crds", "namespaces"])
    summary, changed = cluster.clean()
    assert not changed and cluster.names() == before
    assert "kept: Helm release team/gw (needed by Gateway gloo-system/http, Gateway shop/edge)" in summary
    assert "kept: Namespace gloo-system (contains Gateway gloo-system/http, which is kept)" in summary


def things(**more: Any) -> Json:
    definition = crd("Thing", "a.io", **more)
    definition["spec"]["versions"] = [{"name": "v1", "served": True, "storage": True}]
    return definition


def thing(name: str, labels: dict[str, str]) -> Json:
    return {**build("Thing", name, "shop", labels), "apiVersion": "a.io/v1"}


def test_crds_of_which_others_have_objects_are_kept_at_the_last_moment(cluster: Playground) -> None:
    cluster.has(noted("crds", "gloo-system", groups="a.io"), ours("Namespace", "gloo-system"))
    cluster.has(things(), thing("house", {}))

    assert "crds: keep CustomResourceDefinition things.a.io" in lines(cluster.plan(check=True, vendor_crds=True))
    found, changed = cluster.clean(vendor_crds=True)

    assert found == [
        "kept: CustomResourceDefinition things.a.io (used by Thing shop/house)",
        "kept: ConfigMap gloo-system/multicluster.gloo.crds (records which CRDs this collection installed)",
        "kept: Namespace gloo-system (contains records of CRDs that are kept)",
    ]
    assert not changed and cluster.api.writes() == []


def test_crds_go_with_consent_when_nobody_has_objects(cluster: Playground) -> None:
    cluster.has(noted("crds", "gloo-system", groups="a.io"), ours("Namespace", "gloo-system"), things())
    cluster.has({**things(created=EARLIER), "metadata": {**things()["metadata"], "name": "old.a.io"}})
    cluster.api.get("apiextensions.k8s.io/v1", "customresourcedefinitions", "", "old.a.io")["metadata"][
        "creationTimestamp"
    ] = EARLIER

    assert cluster.clean(check=True, vendor_crds=True)[0] == [
        "would remove 3 objects: CustomResourceDefinition things.a.io, ConfigMap gloo-system/multicluster.gloo.crds, "
        "Namespace gloo-system"
    ]
    assert cluster.api.writes() == []
    cluster.clean(vendor_crds=True)
    assert cluster.names() == {"CustomResourceDefinition/old.a.io"}
    assert cluster.clean(vendor_crds=True) == (["nothing to remove"], False)


def test_a_namespace_with_something_of_others_stays_and_is_named(cluster: Playground) -> None:
    cluster.has(ours("Namespace", "bookinfo"), ours("Namespace", "shop"), build("ConfigMap", "settings", "bookinfo"))
    [removed, kept], changed = cluster.clean()
    assert changed and removed == "removed 1 object: Namespace shop"
    assert kept.startswith("kept: Namespace bookinfo (") and "ConfigMap bookinfo/settings" in kept
    assert cluster.names() == {"Namespace/bookinfo", "ConfigMap/settings"}


def test_check_mode_names_the_namespaces_that_stay_as_well(cluster: Playground) -> None:
    """Not those whose objects go with their release, with their owner or by a step of the plan."""
    helm = {"annotations": {"meta.helm.sh/release-name": "edge", "meta.helm.sh/release-namespace": "shop"}}
    cluster.has(
        *(ours("Namespace", name) for name in ("bookinfo", "shop")),
        ours("Secret", "certificate", "shop"),
        build("ConfigMap", "settings", "shop", metadata=helm),
        build("ConfigMap", "sh.helm.release.v1.edge.v1", "shop", {"owner": "helm"}),
        build("ConfigMap", "translated", "shop", {"gloo.solo.io/parent_name": "x"}),
        build("ConfigMap", "settings", "bookinfo"),
    )
    before = cluster.names()
    result = cleanup.run({**cluster.connection, "phase": "namespaces", "steps": cluster.plan()["steps"]}, True, quiet)
    assert {step["name"]: step["action"] for step in result["steps"]} == {"bookinfo": "keep", "shop": "delete"}
    reason = "contains objects not managed by this collection: ConfigMap bookinfo/settings"
    assert f"would keep: Namespace bookinfo ({reason})" in result["summary"]
    assert cluster.names() == before


def test_leftovers_of_a_release_of_ours_go_by_their_age(cluster: Playground) -> None:
    secrets = [
        build("Secret", "relay-client-tls-secret", "gloo-mesh", created=LATER),
        build("Secret", "relay-root-tls-secret", "gloo-mesh", created=EARLIER),
        build("Secret", "licence", "gloo-mesh", created=NOTED),
    ]
    cluster.has(noted("gloo-platform", "gloo-mesh"), *secrets)
    cluster.clean()
    assert cluster.names() == {"Secret/relay-root-tls-secret", "Secret/licence"}


def test_an_object_that_is_no_longer_ours_is_kept(cluster: Playground) -> None:
    cluster.has(ours("HTTPRoute", "r", "n"))
    steps = cluster.plan()["steps"]
    cluster.has(build("HTTPRoute", "r", "n"))
    result = cleanup.run({**cluster.connection, "phase": "routes", "steps": steps}, False, quiet)
    assert [step["action"] for step in result["steps"]] == ["keep"]
    assert cluster.names() == {"HTTPRoute/r"}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Json]:
    """What the other engines are asked to do, instead of doing it."""
    asked: list[Json] = []

    def engine(name: str) -> Callable[..., Json]:
        def run(params: Json, check: bool, progress: Any) -> Json:
            asked.append({"engine": name, "check": check, **params})
            return {"changed": name == "helm_release", "requests": 1, "diff": {"before": "x"}}

        return run

    for name in ("helm_release", "gateway_proxy_info", "objects_info"):
        monkeypatch.setattr(getattr(cleanup, name), "run", engine(name))
    return asked


def execute(cluster: Playground, phase: str, steps: list[Json], check: bool = False, **more: Any) -> Json:
    params = {**cluster.connection, "phase": phase, "steps": steps, "wait_timeout": 7, **more}
    return cleanup.run(params, check, quiet)


def step(phase: str, action: str, kind: str, name: str, namespace: str = "n", api_version: str = "") -> Json:
    return {
        "cluster": "c",
        "phase": phase,
        "action": action,
        "api_version": api_version,
        "kind": kind,
        "namespace": namespace,
        "name": name,
        "reason": "because",
        "ours": False,
    }


@pytest.mark.parametrize("action", ["uninstall", "give back"])
def test_releases_go_one_after_the_other_and_keep_their_notes(
    cluster: Playground, ran: list[Json], action: str
) -> None:
    steps = [step("agents", action, "Helm release", name) for name in ("one", "two")]
    result = execute(cluster, "agents", steps, binary_path="/opt/helm")
    assert [each["name"] for each in ran] == ["one", "two"]
    assert {(each["state"], each["keep_note"], each["timeout"], each["binary_path"]) for each in ran} == {
        ("absent", True, "7s", "/opt/helm")
    }
    assert result["changed"] and len(result["diff"]) == 2


def test_kept_releases_are_left_alone(cluster: Playground, ran: list[Json]) -> None:
    result = execute(cluster, "crds", [step("crds", "keep", "Helm release", "one")])
    assert ran == [] and not result["changed"]


def test_waits(cluster: Playground, ran: list[Json]) -> None:
    istiod = step("istio", "wait", "Pod", "app=istiod,istio.io/rev=gloo", "istio-system", "v1")
    execute(cluster, "istio", [istiod], check=True)
    assert ran == []
    execute(cluster, "istio", [istiod])
    [asked] = ran
    assert (asked["wait_for"], asked["wait_timeout"]) == ("absent", 7)
    assert asked["objects"][0]["label_selector"] == "app=istiod,istio.io/rev=gloo"
    execute(cluster, "gateway", [step("gateway", "wait", "Gateway", "http")])
    assert (ran[1]["gateway"], ran[1]["expect"], ran[1]["wait"]) == ("http", ["kgateway-proxy"], True)


DESTINATIONS = [
    step("destinations", "delete", "VirtualDestination", "vd", "bookinfo"),
    step("destinations", "give back", "RouteTable", "theirs", "bookinfo"),
]


@pytest.mark.parametrize(
    ("ready", "destinations", "waits"),
    [(1, DESTINATIONS, True), (1, DESTINATIONS[1:], False), (1, [], False), (0, DESTINATIONS, False)],
    ids=["deleted", "given back", "none", "no agent"],
)
def test_the_translation_is_awaited_where_an_agent_can_remove_it(
    cluster: Playground, ran: list[Json], ready: int, destinations: list[Json], waits: bool
) -> None:
    status = {"observedGeneration": 1, "replicas": ready, "updatedReplicas": ready, "availableReplicas": ready}
    agent = build("Deployment", "gloo-mesh-agent", "gloo-mesh", spec={"replicas": 1}, status=status)
    cluster.has(agent)
    wait = step("translation", "wait", "Deployment", "gloo-mesh-agent", "gloo-mesh", "apps/v1")
    execute(cluster, "translation", [wait], destinations=destinations)
    assert bool(ran) is waits
    if waits:
        selectors = {query["label_selector"] for query in ran[0]["objects"]}
        assert selectors == {
            "gloo.solo.io/parent_kind=VirtualDestination,gloo.solo.io/parent_namespace=bookinfo,gloo.solo.io/parent_name=vd"
        }


def test_the_switch_is_written_into_the_controllers_container(cluster: Playground) -> None:
    env = [{"name": "KGW_ENABLE_ISTIO_AUTO_MTLS", "value": "true"}]
    containers = [{"name": "beside"}, {"name": "main", "env": env}]
    live = build("Deployment", "gw", "n", spec={"template": {"spec": {"containers": containers}}})
    cluster.has(live)
    off = step("gateway", "switch off", "Deployment", "gw", "n", "apps/v1")
    assert execute(cluster, "gateway", [off], check=True)["changed"]
    assert cluster.api.writes() == []
    execute(cluster, "gateway", [step("gateway", "switch off", "Deployment", "gone", "n", "apps/v1")])
    assert cluster.api.writes() == []
