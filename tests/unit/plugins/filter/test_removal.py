"""What may go and what must not."""

from __future__ import annotations

from typing import Any

from ansible_collections.multicluster.gloo.plugins.filter import removal

OURS = {"app.kubernetes.io/managed-by": "multicluster.gloo"}


def record(
    kind: str, name: str, namespace: str = "", labels: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    meta = {"name": name, "labels": labels or {}, **more.pop("metadata", {})}
    found = {"metadata": meta, **more}
    return {"api_version": "v1", "kind": kind, "namespace": namespace, "name": name, "object": found}


def names(definitions: list[dict[str, Any]]) -> list[str]:
    return [each["metadata"]["name"] for each in definitions]


def test_ours_and_named_ones_once_each() -> None:
    found = [
        record("Service", "ours", "n", OURS),
        record("Service", "theirs", "n"),
        record("Secret", "other", "n", OURS),
    ]
    named = [{"api_version": "v1", "kind": "Service", "namespace": "n", "name": name} for name in ("ours", "adopted")]
    assert names(removal.removals(found, named, ["Service"])) == ["ours", "adopted"]
    assert removal.removals(found, [], ["Namespace"]) == []
    assert [each["name"] for each in removal.not_ours(found)] == ["theirs"]


def test_istiods_notes_go_and_nothing_else() -> None:
    gloo = {"annotations": {"certificates.mesh.gloo.solo.io/issued_certificate": "x"}}
    found = [
        record("ConfigMap", "istio-ca-root-cert", "shop"),
        record("ConfigMap", "istio-leader", "istio-system"),
        record("ConfigMap", "istio-leader", "shop"),
        record("ConfigMap", "istio-settings", "istio-system"),
        record("Secret", "cacerts", "istio-system", metadata=gloo),
        record("Secret", "cacerts", "istio-system"),
        record("Secret", "istio-ca-secret", "istio-system"),
        record("Secret", "istio-ca-secret", "shop"),
        record("GatewayClass", "istio", spec={"controllerName": "istio.io/gateway-controller"}),
        record("GatewayClass", "shop", spec={"controllerName": "example.com/istio.io"}),
    ]
    left = [
        (each["metadata"]["name"], each["metadata"].get("namespace"))
        for each in removal.istio_leftovers(found, "istio-system")
    ]
    assert left == [
        ("istio-ca-root-cert", "shop"),
        ("istio-leader", "istio-system"),
        ("cacerts", "istio-system"),
        ("istio-ca-secret", "istio-system"),
        ("istio", None),
    ]


def test_proxies_of_our_classes_go_with_the_controller() -> None:
    def proxy(name: str, gateway_class: str, owner: str = "Gateway") -> dict[str, Any]:
        labels = {"gateway.networking.k8s.io/gateway-class-name": gateway_class}
        return record("Deployment", name, "n", labels, metadata={"ownerReferences": [{"kind": owner}]})

    found = [
        record("GatewayClass", "gloo", spec={"controllerName": "solo.io/gloo"}),
        record("GatewayClass", "shop", spec={"controllerName": "example.com/shop"}),
        proxy("ours", "gloo"),
        proxy("theirs", "shop"),
        proxy("hand-made", "gloo", owner="Team"),
    ]
    assert names(removal.controller_leftovers(found, ["solo.io/gloo"])) == ["ours", "gloo"]


def test_crds_of_groups_that_were_served_before_stay() -> None:
    found = [
        record("CustomResourceDefinition", "a", spec={"group": "a.io"}),
        record("CustomResourceDefinition", "b", spec={"group": "b.io"}),
        record("CustomResourceDefinition", "c", spec={"group": "c.io"}),
        record("CustomResourceDefinition", "d", labels=OURS, spec={"group": "d.io"}),
    ]
    assert [each["name"] for each in removal.vendor_crds(found, ["a.io", "b.io"], ["b.io"])] == ["a", "d"]


def test_the_summary_says_what_became_of_everything() -> None:
    records = [
        {"kind": "Gateway", "namespace": "n", "name": "http", "action": "released"},
        {"kind": "HTTPRoute", "namespace": "n", "name": "r", "action": "deleted"},
        {"kind": "HTTPRoute", "namespace": "n", "name": "r2", "action": "absent"},
        {"kind": "Namespace", "namespace": "", "name": "n", "action": "kept"},
    ]
    releases = [{"namespace": "n", "name": "gloo", "action": "removed"}]
    assert removal.cleanup_lines(records, releases, [record("CustomResourceDefinition", "x")]) == [
        "removed: HTTPRoute n/r, Helm release n/gloo",
        "given back: Gateway n/http",
        "kept: Namespace n",
        "still there without cleanup_vendor_crds=true: CustomResourceDefinition x",
    ]
    assert removal.cleanup_lines([], [], []) == ["nothing to remove"]
