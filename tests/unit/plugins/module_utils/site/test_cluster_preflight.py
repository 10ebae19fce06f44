"""All findings of one cluster in one message; nothing is written."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid
from ansible_collections.multicluster.gloo.plugins.module_utils.site import cluster_preflight

Json = dict[str, Any]
HOOKS = "admissionregistration.k8s.io/v1"


def quiet(line: str) -> None:
    """Progress that nobody sees."""


class Preflight:
    """One cluster and the module on it."""

    def __init__(self, api: Any, kubeconfig: Any) -> None:
        self.api = api
        api.kinds["v1"] |= {"resourcequotas": ("ResourceQuota", True)}
        api.kinds[HOOKS] = {
            "validatingwebhookconfigurations": ("ValidatingWebhookConfiguration", False),
            "mutatingwebhookconfigurations": ("MutatingWebhookConfiguration", False),
        }
        api.kinds["discovery.k8s.io/v1"] = {"endpointslices": ("EndpointSlice", True)}
        self.connection = {"kubeconfig": str(kubeconfig), "context": "fake", "cluster": "c1"}

    def run(self, **options: Any) -> Json:
        defaults = {name: row.get("default") for name, row in cluster_preflight.ARGUMENT_SPEC.items()}
        planned = {name: row["default"] for name, row in cluster_preflight.ARGUMENT_SPEC["planned"]["options"].items()}
        given = {**options, "planned": {**planned, **options.get("planned", {})}}
        return cluster_preflight.run({**defaults, **self.connection, **given}, False, quiet)

    def webhook(self, name: str = "hooks") -> None:
        client = {"service": {"namespace": "default", "name": "hook"}}
        rule = {"operations": ["CREATE"], "resources": ["pods"]}
        webhooks = [{"name": "h.example.com", "failurePolicy": "Fail", "clientConfig": client, "rules": [rule]}]
        obj = {"metadata": {"name": name}, "webhooks": webhooks}
        self.api.write(HOOKS, "validatingwebhookconfigurations", "", obj)

    def endpoint(self, ready: bool) -> None:
        labels = {"kubernetes.io/service-name": "hook"}
        obj = {"metadata": {"name": "hook-1", "labels": labels}, "endpoints": [{"conditions": {"ready": ready}}]}
        self.api.write("discovery.k8s.io/v1", "endpointslices", "default", obj)


@pytest.fixture
def preflight(fake: Any) -> Preflight:
    return Preflight(*fake)


def test_a_usual_cluster_has_no_finding(preflight: Preflight) -> None:
    result = preflight.run()
    assert (result["msg"], result["preflight"]) == ("c1: no problem found", {"verdict": "ok", "findings": []})
    assert preflight.api.writes() == []


def test_failures_of_other_tasks_and_all_findings_are_in_one_message(preflight: Preflight) -> None:
    preflight.webhook()
    with pytest.raises(Invalid) as caught:
        preflight.run(
            problems=[
                "c1: first is wrong. Correct it",
                "c1: second is wrong. Correct it",
                "c1: first is wrong. Correct it",
            ],
            helm=True,
            binary_path="/nowhere/helm",
        )
    assert caught.value.msg.count("c1: first is wrong") == 1
    assert "c1: second is wrong" in caught.value.msg
    assert "c1: the program '/nowhere/helm' is not found" in caught.value.msg
    assert "h.example.com" not in caught.value.msg
    findings = caught.value.facts["preflight"]["findings"]
    assert [each["verdict"] for each in findings] == ["failed", "failed", "failed", "warning"]
    assert findings[0] == {"cluster": "c1", "verdict": "failed", "message": "first is wrong. Correct it"}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("c1: a is wrong. Set it", [("c1", "a is wrong. Set it")]),
        ("a: is wrong", [("c1", "a: is wrong")]),
        # A host without a gateway reads the one of another host.
        ("c2: a is wrong", [("c2", "a is wrong")]),
        ("c1: c2: a is wrong", [("c2", "a is wrong")]),
        ("c2: c2: a is wrong", [("c2", "a is wrong")]),
        ("c20: a is wrong", [("c20", "a is wrong")]),
        ("c2.x: a is wrong", [("c1", "c2.x: a is wrong")]),
        ("c1: a; c2: b; b: c", [("c1", "a"), ("c2", "b; b: c")]),
    ],
)
def test_a_problem_has_the_name_of_one_cluster(
    preflight: Preflight, message: str, expected: list[tuple[str, str]]
) -> None:
    names = ["c1", "c2", "c20", "c-2"]
    assert list(cluster_preflight.by_cluster(message, names, "c1")) == expected
    with pytest.raises(Invalid) as caught:
        preflight.run(problems=[message], clusters=names)
    assert caught.value.msg == "; ".join(f"{name}: {text}" for name, text in expected)
    findings = caught.value.facts["preflight"]["findings"]
    assert [(each["cluster"], each["message"]) for each in findings] == expected


def test_a_warning_fails_only_on_request(preflight: Preflight) -> None:
    preflight.webhook()
    assert preflight.run()["preflight"]["verdict"] == "warning"
    with pytest.raises(Invalid, match="default/hook has no ready endpoint"):
        preflight.run(fail_on="warning")


@pytest.mark.parametrize(("ready", "verdict"), [(True, "ok"), (False, "warning")])
def test_a_webhook_with_a_ready_endpoint_is_in_order(preflight: Preflight, ready: bool, verdict: str) -> None:
    preflight.webhook()
    preflight.endpoint(ready)
    assert preflight.run()["preflight"]["verdict"] == verdict


def test_what_the_api_server_refuses_is_found_by_a_dry_run(preflight: Preflight) -> None:
    definition = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
    status = {"kind": "Status", "reason": "Forbidden", "code": 403, "message": "policy 'safe' denied the request"}
    preflight.api.refuse("PATCH", "/configmaps/a", 403, status)
    with pytest.raises(Invalid, match="policy 'safe' denied the request"):
        preflight.run(definitions=[definition])
    assert preflight.run(definitions=[definition])["preflight"]["verdict"] == "ok"
    assert preflight.api.writes() == []


def test_texts_of_the_cluster_stay_on_one_line_without_control_characters(preflight: Preflight) -> None:
    preflight.webhook("a\n\x1b[31mb")
    [row] = preflight.run()["preflight"]["findings"]
    assert row["message"].isprintable()


def test_lists_that_may_not_be_read_give_no_finding(preflight: Preflight) -> None:
    preflight.webhook()
    for path in ("resourcequotas", "webhookconfigurations", "endpointslices"):
        preflight.api.refuse("GET", path, 403, {"reason": "Forbidden", "message": "no"}, times=3)
    assert preflight.run()["preflight"]["verdict"] == "ok"


OVERRIDES = {"eastWestGateways": [{"selector": {}, "hostInfoOverrides": [{"addr": "192.0.2.1"}]}]}


@pytest.mark.parametrize(
    ("options", "verdict"),
    [(OVERRIDES, "ok"), ({"eastWestGateways": [{"selector": {}}]}, "warning"), ({}, "warning"), (None, "warning")],
    ids=["addresses", "none", "no gateways", "no settings"],
)
def test_host_names_are_no_problem_where_workspace_settings_give_addresses(
    preflight: Preflight, options: Json | None, verdict: str
) -> None:
    api = preflight.api
    status = {"loadBalancer": {"ingress": [{"hostname": "x.example.com"}]}}
    api.write(
        "v1", "services", "default", {"metadata": {"name": "edge"}, "spec": {"type": "LoadBalancer"}, "status": status}
    )
    admin = {"kubernetesclusters": ("KubernetesCluster", True), "workspacesettings": ("WorkspaceSettings", True)}
    api.kinds["admin.gloo.solo.io/v2"] = {**admin, "workspaces": ("Workspace", True)}
    if options is not None:
        settings = {"metadata": {"name": "settings"}, "spec": {"options": options}}
        api.write("admin.gloo.solo.io/v2", "workspacesettings", "default", settings)
    found = preflight.run(
        planned={"hostname_steps": ["step5"], "name": "c1"},
        role="workload",
        management_kubeconfig=preflight.connection["kubeconfig"],
        management_context="fake",
    )["preflight"]
    assert found["verdict"] == verdict
    assert ("hostInfoOverrides" in str(found["findings"])) is (verdict == "warning")
