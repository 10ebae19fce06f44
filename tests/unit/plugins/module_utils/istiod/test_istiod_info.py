"""What istiod_info asks of an API server: at most six requests whatever is refused, and no secret in the answer."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from acceptance.istio_shapes import Istiod, Json, Objects, joined, namespace
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import discovery as istiod
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import istiod_info
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Forbidden

WHERE = {
    "deployments": "apps/v1",
    "services": "v1",
    "endpointslices": "discovery.k8s.io/v1",
    "configmaps": "v1",
    "mutatingwebhookconfigurations": "admissionregistration.k8s.io/v1",
    "namespaces": "v1",
}
KINDS = {
    "deployments": "Deployment",
    "services": "Service",
    "endpointslices": "EndpointSlice",
    "configmaps": "ConfigMap",
    "mutatingwebhookconfigurations": "MutatingWebhookConfiguration",
    "namespaces": "Namespace",
}
CANARY = "a-licence-nobody-may-see"
REFUSAL = {"reason": "Forbidden", "message": "user may not", "code": 403}


def with_secrets() -> Objects:
    """istiod-gloo whose ConfigMaps and environment carry what must not be shown."""
    mesh = Istiod("gloo")
    mesh.values["licence"] = CANARY
    mesh.mesh += f"\nextensionProviders: [{{name: {CANARY}}}]\n"
    mesh.container["env"].append({"name": "SOLO_LICENSE_KEY", "value": CANARY})
    objects = mesh.objects(namespaces=[namespace("istio-system"), namespace("bookinfo", rev="gloo")])
    for configmap in objects["configmaps"] or []:
        configmap["data"]["merged-values"] = json.dumps({"license": CANARY})
    return objects


@pytest.fixture
def cluster(fake: Any) -> Any:
    """(FakeApi, kubeconfig) of a cluster with that istiod."""
    api, _kubeconfig = fake
    api.kinds["discovery.k8s.io/v1"] = {"endpointslices": ("EndpointSlice", True)}
    api.kinds["admissionregistration.k8s.io/v1"] = {
        "mutatingwebhookconfigurations": ("MutatingWebhookConfiguration", False)
    }
    write(api, with_secrets())
    return fake


def write(api: Any, objects: Objects) -> None:
    for plural, items in objects.items():
        for item in items or []:
            api.write(WHERE[plural], plural, item["metadata"].get("namespace", ""), item)


def ask(fake: Any, **params: Any) -> Json:
    return istiod_info.run({"kubeconfig": fake[1], "context": "fake", "strict": True, **params}, False, print)


def refuse(api: Any, plural: str, everywhere: bool = True) -> None:
    """403 to lists of this kind: of all namespaces, and also of a single one."""
    path = (
        rf"/{WHERE[plural]}(/namespaces/[^/]+)?/{plural}(/bookinfo)?$" if everywhere else rf"/{WHERE[plural]}/{plural}$"
    )
    api.refuse("GET", path, 403, REFUSAL, times=9)


def test_six_requests_and_no_secret_among_them(cluster: Any) -> None:
    result = ask(cluster, for_namespace="bookinfo")
    assert result["istiod"] == {"cluster": "fake", **istiod.discover(Istiod("gloo").objects())["istiods"][0]}
    assert result["requests"] == len(cluster[0].log) == 6
    assert not [path for _method, path, _dry in cluster[0].log if "secrets" in path]


def test_one_request_for_any_number_of_services(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server cuts a list into pages only when asked to."""
    asked: list[Any] = []
    original = istiod_info.Cluster.request

    def noting(self: Any, method: str, path: str, query: Any = None, **rest: Any) -> Any:
        asked.append((query or {}).get("limit"))
        return original(self, method, path, query, **rest)

    monkeypatch.setattr(istiod_info.Cluster, "request", noting)
    ask(cluster)
    assert asked == ["0"] * 6


@pytest.mark.parametrize(
    "plural", ["deployments", "configmaps", "mutatingwebhookconfigurations", "endpointslices", "namespaces"]
)
def test_a_forbidden_list_degrades_and_is_told(cluster: Any, plural: str) -> None:
    refuse(cluster[0], plural)
    result = ask(cluster, for_namespace="bookinfo")
    assert result["istiod"]["address"] == "istiod-gloo.istio-system.svc:15012"
    assert result["istiod"]["cluster_id"] == "cluster1"
    told = [problem for problem in result["problems"] if "is forbidden" in problem]
    assert len(told) == 1 and told[0].startswith(f"listing {KINDS[plural]} objects is forbidden")


def test_services_that_may_not_be_listed_are_told_by_mesh_config(cluster: Any) -> None:
    refuse(cluster[0], "services")
    result = ask(cluster)
    assert result["istiod"]["address"] == "istiod-gloo.istio-system.svc:15012"
    assert {s["key"]: s["certainty"] for s in result["sources"]}["address"] == "likely"
    assert [p.split(":")[0] for p in result["problems"][:2]] == [
        "listing Services of all namespaces is forbidden",
        "listing Service objects in namespace istio-system is forbidden, so values from them are missing",
    ]


def test_a_role_in_one_namespace_is_enough(cluster: Any) -> None:
    for plural in WHERE:
        refuse(cluster[0], plural, everywhere=False)
    result = ask(cluster)
    whole = istiod.discover(Istiod("gloo").objects())["istiods"][0]
    assert result["istiod"] == {"cluster": "fake", **whole}
    assert "only namespace istio-system was searched" in result["problems"][0]


def test_what_was_not_searched_is_not_called_missing(cluster: Any) -> None:
    write(cluster[0], Istiod(namespace="mesh-b").objects())
    for plural in {*WHERE} - {"mutatingwebhookconfigurations"}:
        refuse(cluster[0], plural, everywhere=False)
    result = ask(cluster)
    assert [record["name"] for record in result["istiods"]] == ["istiod-gloo"]
    assert len(result["problems"]) == 1 and "only namespace istio-system was searched" in result["problems"][0]


def test_the_namespace_to_search_can_be_told(cluster: Any) -> None:
    write(cluster[0], Istiod("main", "gloo-mesh").objects())
    for plural in WHERE:
        refuse(cluster[0], plural, everywhere=False)
    assert ask(cluster, namespace="gloo-mesh")["istiod"]["address"] == "istiod-main.gloo-mesh.svc:15012"


class Refusing:
    """A cluster in memory that refuses lists of some kinds: of all namespaces only, or of one as well."""

    name = "fake"

    def __init__(self, objects: Objects, refused: set[str], everywhere: bool) -> None:
        self.objects, self.requests = {KINDS[plural]: items or [] for plural, items in objects.items()}, 0
        self.refused, self.everywhere = {KINDS[plural] for plural in refused}, everywhere

    def __enter__(self) -> Refusing:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def list(
        self, _api: str, kind: str, namespace: str | None = None, _labels: str | None = None, page: int = 0
    ) -> Any:
        self.requests += 1
        if kind in self.refused and (self.everywhere or namespace is None):
            raise Forbidden("no", reason="Forbidden")
        return self.objects[kind]

    def get(self, api: str, kind: str, name: str) -> Json | None:
        return next((o for o in self.list(api, kind, name) if o["metadata"]["name"] == name), None)


SUBSETS = [set(refused) for count in range(len(WHERE) + 1) for refused in itertools.combinations(WHERE, count)]


@pytest.mark.parametrize("told", [{}, {"for_namespace": "bookinfo"}, {"namespace": "istio-system"}], ids=str)
@pytest.mark.parametrize("everywhere", [True, False])
def test_every_combination_of_refusals(monkeypatch: pytest.MonkeyPatch, everywhere: bool, told: Json) -> None:
    """Six requests at most, what is told is right, what is not is null, nothing secret, each refusal a problem."""
    objects = with_secrets()
    right = {**istiod.discover(objects)["istiods"][0], "cluster": "fake"}
    for refused in SUBSETS:
        cluster = Refusing(objects, refused, everywhere)
        monkeypatch.setattr(istiod_info, "connect", lambda _params, cluster=cluster: cluster)
        result = ask(("", ""), strict=False, **told)
        assert cluster.requests == result["requests"] <= 6, refused
        assert CANARY not in json.dumps(result)
        record = {k: v for k, v in (result["istiod"] or {}).items() if v is not None}
        wrong = {k: v for k, v in record.items() if v != right[k]}
        assert {**wrong, "version": "1.27.0"} == {"version": "1.27.0"}, (refused, wrong)
        assert bool(refused - {"namespaces"}) <= any("is forbidden" in p for p in result["problems"]), refused


def test_nothing_may_be_read(cluster: Any) -> None:
    for plural in WHERE:
        refuse(cluster[0], plural)
    with pytest.raises(
        ClusterError, match="fake: istiod cannot be searched: listing Services and Deployments is forbidden"
    ):
        ask(cluster)


def test_an_error_carries_what_was_found_but_no_secret(cluster: Any) -> None:
    write(cluster[0], joined(Istiod().objects()))
    with pytest.raises(ClusterError, match="fake: 2 istiods: istio-system/istiod ") as failure:
        ask(cluster)
    assert [record["name"] for record in failure.value.facts["istiods"]] == ["istiod", "istiod-gloo"]
    assert CANARY not in json.dumps(failure.value.facts) + str(failure.value)


def test_unknown_namespace(cluster: Any) -> None:
    with pytest.raises(ClusterError, match=r"namespace nope \(for_namespace\) does not exist"):
        ask(cluster, for_namespace="nope")
