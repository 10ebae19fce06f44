"""GatewayParameters against a real API server: other managers' fields, second runs, check mode, the kind to use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed
from hypothesis import settings as profile

from acceptance.random_parameters import settings
from acceptance.site import REPO, Site, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.apply.managed_fields import (
    applied_fields,
    dotted,
    find,
    leaves,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.apply.manifests import difference
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway import gateway_parameters as gp
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.parameter_kinds import PARAMETER_KINDS
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import (
    ENTERPRISE_PARAMETERS,
    GATEWAY_PARAMETERS,
    GLOO_GATEWAY_PARAMETERS,
    V1_PARAMETERS,
    ParameterKind,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.client import Cluster
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import (
    ClusterError,
    Conflict,
    Invalid,
    NotServed,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.kinds import known

CRD = REPO / "lab" / "vendor" / "charts" / "gloo-gateway-crds" / "templates" / "gatewayparameters.yaml"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACE = "default"
REPLICAS: dict[str, Any] = {"deployment": {"replicas": 2}}
Json = dict[str, Any]


@contextmanager
def served(site: Site, *crds: Json) -> Iterator[None]:
    """The CRDs are served in the block and gone after it."""
    for each in crds:
        site.create(site.gateway_cluster, CRDS, each)
    try:
        for each in crds:
            wait_until(partial(is_served, site, each), f"{each['metadata']['name']} served")
        yield
    finally:
        for each in crds:
            site.delete(site.gateway_cluster, f"{CRDS}/{each['metadata']['name']}")
        for each in crds:
            wait_until(partial(is_gone, site, each), f"{each['metadata']['name']} gone")


def is_served(site: Site, wanted: Json) -> bool:
    """All its versions, among the API groups too: another controller of the API server adds them there later."""
    spec = wanted["spec"]
    groups = {row["name"]: row for row in (site.get(site.gateway_cluster, "/apis") or {}).get("groups", ())}
    grouped = {row["version"] for row in groups.get(spec["group"], {}).get("versions", ())}
    return grouped.issuperset(version["name"] for version in spec["versions"]) and is_listed(site, wanted)


def is_listed(site: Site, wanted: Json) -> bool:
    spec = wanted["spec"]
    for version in spec["versions"]:
        answer = site.get(site.gateway_cluster, f"/apis/{spec['group']}/{version['name']}") or {}
        if spec["names"]["kind"] not in [row["kind"] for row in answer.get("resources", ())]:
            return False
    return True


def is_gone(site: Site, wanted: Json) -> bool:
    left = site.get(site.gateway_cluster, f"{CRDS}/{wanted['metadata']['name']}")
    return left is None and not is_listed(site, wanted)


def crd(kind: ParameterKind, *versions: str) -> Json:
    """A CRD of the kind with the one field these tests set; of Gateway API's kinds with any field."""
    replicas = {"type": "object", "properties": {"replicas": {"type": "integer"}}}
    kube = {"type": "object", "properties": {"deployment": replicas}}
    spec: Json = {"type": "object", "properties": {"kube": kube}}
    where = known(kind.api_version, kind.kind)
    plural = where.plural if where else kind.kind.lower()
    listed = versions or (kind.api_version.split("/")[1],)
    if kind.group.endswith(".k8s.io"):
        spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{kind.group}", "annotations": {"api-approved.kubernetes.io": "unapproved"}},
        "spec": {
            "group": kind.group,
            "scope": "Cluster" if where and not where.namespaced else "Namespaced",
            "names": {"kind": kind.kind, "plural": plural},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": index == 0,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
                }
                for index, version in enumerate(listed)
            ],
        },
    }


GATEWAY_CLASS = ParameterKind("gateway.networking.k8s.io/v1", "GatewayClass")
GATEWAY = ParameterKind("gateway.networking.k8s.io/v1", "Gateway")


def run(site: Site, check: bool = False, **options: Any) -> Json:
    where = {"kubeconfig": str(site.kubeconfig), "context": site.gateway_cluster, "namespace": NAMESPACE}
    return gp.run({**where, "name": "params", **options}, check, lambda line: None)


def record(result: Json) -> Json:
    row: Json = result["gateway_parameters"][0]
    return row


def refused(kind: type[ClusterError], site: Site, check: bool = False, **options: Any) -> ClusterError:
    with pytest.raises(kind) as caught:
        run(site, check, **options)
    return caught.value


@pytest.mark.share
@pytest.mark.parametrize("series", range(5))
def test_random_specs_merge_settle_and_do_what_check_mode_said(
    empty: Site, monkeypatch: pytest.MonkeyPatch, series: int
) -> None:
    """Five series of 60 specs, each from a seed of its own."""
    seen: Counter[str] = Counter()
    with (
        served(empty, yaml.safe_load(CRD.read_text())),
        Cluster(str(empty.kubeconfig), empty.gateway_cluster) as cluster,
    ):
        monkeypatch.setattr(gp, "connect", lambda *_told: nullcontext(cluster))

        @profile(max_examples=60, database=None, suppress_health_check=list(HealthCheck))
        @given(settings())
        def holds(drawn: tuple[Json, Json]) -> None:
            seen["specs"] += 1
            seen.update(one_spec(empty, cluster, f"p{seen['specs']}", *drawn))

        # FUZZ=1 asks for new examples, whatever the series.
        (holds if profile.get_current_profile_name() == "new" else seed(series)(holds))()
    assert seen["specs"] >= 60 and seen["merged"] >= 20 and seen["conflicts"] >= 10, seen


def one_spec(site: Site, cluster: Cluster, name: str, options: Json, theirs: Json) -> list[str]:
    """Somebody applies their spec, the module its options; what was seen: "merged", "conflicts"."""
    api_version, kind = GATEWAY_PARAMETERS.api_version, GATEWAY_PARAMETERS.kind
    before: Json | None = None
    if theirs:
        meta = {"name": name, "namespace": NAMESPACE}
        foreign = {"apiVersion": api_version, "kind": kind, "metadata": meta, "spec": theirs}
        before = cluster.apply(foreign, manager="somebody")

    taken: set[str] = set()
    try:
        predicted = run(site, check=True, name=name, **options)
        done = run(site, name=name, **options)
    except Conflict as conflict:
        assert before is not None and cluster.get(api_version, kind, name, NAMESPACE) == before
        taken = set(conflict.fields)
        assert taken and conflict.facts["conflicts"] == conflict.fields
        for field, managers in conflict.fields.items():
            assert managers == ["somebody"] and f"{field} (somebody)" in conflict.msg
        options = {**options, "on_conflict": "force"}
        predicted = run(site, check=True, name=name, **options)
        done = run(site, name=name, **options)

    after = cluster.get(api_version, kind, name, NAMESPACE)
    assert after is not None
    assert (predicted["changed"], predicted["diff"]) == (done["changed"], done["diff"])
    assert done["writes"] == predicted["writes"] + done["changed"]  # both count from the start of the connection
    if done["diff"]:
        assert done["diff"][0]["after"] == difference("", None, after)["after"]
    for path in leaves(applied_fields(before or {}, "somebody") or {}):
        had = find(before, path)
        if dotted(path) not in taken:
            assert find(after, path) == had or (had == {} and isinstance(find(after, path), dict)), dotted(path)

    again = run(site, name=name, **options)
    assert not again["changed"] and again["diff"] == []
    assert cluster.get(api_version, kind, name, NAMESPACE) == after
    return ["merged"] * bool(before) + ["conflicts"] * bool(taken)


def test_check_mode_before_the_crd_exists_predicts_what_then_happens(empty: Site) -> None:
    predicted = run(empty, check=True, **REPLICAS)
    assert record(predicted)["action"] == "created" and "not served yet" in record(predicted)["reason"]
    assert record(run(empty, state="absent"))["action"] == "absent"
    assert "Install the gateway's CRDs" in refused(NotServed, empty, **REPLICAS).msg

    with served(empty, yaml.safe_load(CRD.read_text())):
        done = run(empty, **REPLICAS)
        assert (done["changed"], done["diff"]) == (predicted["changed"], predicted["diff"])
        predicted, done = run(empty, check=True, state="absent"), run(empty, state="absent")
        assert done["changed"] and predicted["diff"] == done["diff"]
        assert record(predicted)["action"] == record(done)["action"] == "deleted"


@pytest.mark.parametrize("kind", PARAMETER_KINDS, ids=lambda kind: kind.title)
def test_the_only_kind_there_is_is_used_in_its_preferred_version(empty: Site, kind: ParameterKind) -> None:
    with served(empty, crd(kind, "v1alpha1", "v1")):
        created = run(empty, **REPLICAS)
        assert (record(created)["api_version"], record(created)["kind"]) == (f"{kind.group}/v1", kind.kind)
        older = run(empty, api_version=f"{kind.group}/v1alpha1", **REPLICAS)
        assert record(older)["api_version"] == f"{kind.group}/v1alpha1" and not older["changed"]
        missing = refused(NotServed, empty, check=True, api_version=f"{kind.group}/v2", **REPLICAS)
        assert f"{kind.group}/v1 {kind.kind}" in missing.msg and "api_version" in missing.msg
        assert record(run(empty, state="absent", api_version="example.com/v1", kind="Other"))["action"] == "absent"


def test_of_several_kinds_the_gateway_class_decides(empty: Site) -> None:
    def used(**options: Any) -> ParameterKind:
        row = record(run(empty, check=True, **REPLICAS, **options))
        return ParameterKind(row["api_version"], row["kind"])

    def gateway_class(name: str, controller: str) -> None:
        body = {"apiVersion": GATEWAY_CLASS.api_version, "kind": "GatewayClass", "metadata": {"name": name}}
        path = f"/apis/{GATEWAY_CLASS.api_version}/gatewayclasses"
        empty.create(empty.gateway_cluster, path, {**body, "spec": {"controllerName": controller}})

    modern = [crd(kind) for kind in (GATEWAY_PARAMETERS, GLOO_GATEWAY_PARAMETERS, ENTERPRISE_PARAMETERS)]
    with served(empty, *modern):
        assert used() == GATEWAY_PARAMETERS  # every controller that takes one of the others takes it, too
        assert used(kind=ENTERPRISE_PARAMETERS.kind) == ENTERPRISE_PARAMETERS

        with served(empty, crd(V1_PARAMETERS), crd(GATEWAY_CLASS)):
            unclear = refused(Invalid, empty, **REPLICAS)
            assert "no GatewayClass" in unclear.msg and "Set api_version and kind" in unclear.msg
            assert unclear.facts["candidates"] == [
                f"{k.api_version} {k.kind}" for k in (GATEWAY_PARAMETERS, V1_PARAMETERS)
            ]

            gateway_class("gloo-gateway", "solo.io/gloo-gateway")
            assert used() == V1_PARAMETERS
            assert used(api_version=GATEWAY_PARAMETERS.api_version) == GATEWAY_PARAMETERS
            gateway_class("mine", "solo.io/enterprise-kgateway")
            unclear = refused(Invalid, empty, check=True, **REPLICAS)
            assert "gloo-gateway (solo.io/gloo-gateway), mine (solo.io/enterprise-kgateway)" in unclear.msg
            assert used(kind=GLOO_GATEWAY_PARAMETERS.kind) == GLOO_GATEWAY_PARAMETERS


def test_absent_names_who_still_refers(empty: Site) -> None:
    def refer(kind: ParameterKind, collection: str, spec: Json, **meta: Any) -> None:
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, "spec": spec}
        empty.create(empty.gateway_cluster, f"/apis/{kind.api_version}/{collection}", body)

    with served(empty, crd(GATEWAY_PARAMETERS), crd(GATEWAY), crd(GATEWAY_CLASS)):
        run(empty, **REPLICAS)
        ref = {"group": GATEWAY_PARAMETERS.group, "kind": GATEWAY_PARAMETERS.kind, "name": "params"}
        infrastructure = {"infrastructure": {"parametersRef": ref}}
        refer(GATEWAY, f"namespaces/{NAMESPACE}/gateways", infrastructure, name="http")
        refer(GATEWAY, "namespaces/kube-public/gateways", infrastructure, name="elsewhere")
        refer(GATEWAY_CLASS, "gatewayclasses", {"parametersRef": {**ref, "namespace": NAMESPACE}}, name="mine")

        for check in (True, False):
            error = refused(ClusterError, empty, check=check, state="absent")
            assert error.facts["references"] == [f"Gateway {NAMESPACE}/http", "GatewayClass mine"]
            assert "ignore_references" in error.msg
        assert record(run(empty, state="absent", ignore_references=True))["action"] == "deleted"


@pytest.mark.parametrize(
    ("options", "unknown", "words"),
    [
        ({"service": {"load_balancer_class": "a"}}, "spec.kube.service", "spec.kube.service (option service)"),
        (
            {"deployment": {"strategy": {"type": "Recreate"}}},
            "spec.kube.deployment.strategy",
            "(option deployment.strategy)",
        ),
        ({"spec": {"kube": {"odd": 1}}}, "spec.kube.odd", "spec.kube.odd:"),
    ],
)
def test_a_field_this_crd_lacks_is_named(empty: Site, options: Json, unknown: str, words: str) -> None:
    with served(empty, crd(GATEWAY_PARAMETERS)):
        for check in (True, False):
            error = refused(Invalid, empty, check=check, **options)
            assert error.facts["unknown_fields"] == [unknown]
            assert words in error.msg and "install a version of the gateway's CRDs that has it" in error.msg


def test_fields_of_others_are_taken_by_force_and_given_back(empty: Site) -> None:
    with served(empty, crd(GATEWAY_PARAMETERS)), Cluster(str(empty.kubeconfig), empty.gateway_cluster) as cluster:
        where = {"apiVersion": GATEWAY_PARAMETERS.api_version, "kind": GATEWAY_PARAMETERS.kind}
        theirs = {**where, "metadata": {"name": "params", "namespace": NAMESPACE}, "spec": {"kube": REPLICAS}}
        before = cluster.apply(theirs, manager="somebody")

        conflict = refused(Conflict, empty, deployment={"replicas": 3})
        assert conflict.facts["conflicts"] == {".spec.kube.deployment.replicas": ["somebody"]}
        run(empty, deployment={"replicas": 3}, on_conflict="force")
        assert record(run(empty, state="absent"))["action"] == "released"
        after = cluster.get(where["apiVersion"], where["kind"], "params", NAMESPACE)
        assert after is not None and after["spec"] == before["spec"]
        assert [entry["manager"] for entry in after["metadata"]["managedFields"]] == ["somebody"]


def test_what_contradicts_istiod_or_others_is_refused_before_it_is_written(empty: Site) -> None:
    istiod = {"address": "istiod-gloo.istio-system.svc:15012", "cluster_id": "cluster1", "mesh_id": "mesh1"}
    with (
        served(empty, yaml.safe_load(CRD.read_text())),
        Cluster(str(empty.kubeconfig), empty.gateway_cluster) as cluster,
    ):
        where = (GATEWAY_PARAMETERS.api_version, GATEWAY_PARAMETERS.kind)
        told: Json = {"istio": {"meta_cluster_id": "other"}, "istiod": istiod}
        for check in (True, False):
            assert len(refused(ClusterError, empty, check=check, **told).facts["contradictions"]) == 2
        assert cluster.list(*where) == []
        warned = run(empty, strict=False, **told)
        assert warned["changed"] and len(warned["warnings"]) == 3

        body = {"apiVersion": where[0], "kind": where[1], "metadata": {"name": "theirs", "namespace": NAMESPACE}}
        cluster.apply({**body, "spec": {"kube": REPLICAS}}, manager="somebody")
        assert "exactly one of kube and selfManaged" in refused(Invalid, empty, name="theirs", self_managed=True).msg
