"""Runs of a part of site.yml: right, or refused before the first write with what to run instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from acceptance.audit import Mark
from acceptance.site import Site, missing

Json = dict[str, Any]
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings"


@dataclass(frozen=True)
class Row:
    """A command and its result: with ``says`` it is refused with this text, else it ends with 0."""

    options: tuple[str, ...]
    says: str = ""

    def __str__(self) -> str:
        return " ".join(self.options)


def row(command: str, says: str = "") -> Row:
    """A row; the last option may contain spaces."""
    option, _space, value = command.partition(" ")
    return Row((option, value), says)


REFUSED = (
    row("--tags gateway", "cluster1: no istiod exists.* Run site.yml --tags mesh first"),
    row("--tags bookinfo", "no istiod exists.* Run site.yml --tags mesh first"),
    row("--tags routing", "mgmt: Gloo Mesh is not installed.* Run site.yml --tags mesh first"),
    row("--tags step5", "cluster1: no Gateway exists.* Run site.yml --tags gateway first"),
    row("--skip-tags mesh", "no istiod exists.* Run site.yml --tags mesh first, or run it without --tags"),
    row("--skip-tags gateway", "cluster1: no Gateway exists"),
    row("--limit cluster2", "mgmt"),
    row("--limit nowhere", "match|no host"),
)
NOTHING_TO_DO = (
    row("--limit cluster2"),
    row("--limit cluster1"),
    row("--limit mgmt"),
    row("--limit workload"),
    row("--tags mesh"),
    row("--tags gateway"),
    row("--tags routing"),
    row("--tags step5"),
    row("--skip-tags mesh"),
    row("--skip-tags bookinfo,gateway"),
)


@pytest.fixture
def unchanged_empty(empty: Site) -> Iterator[Site]:
    mark = Mark(empty)
    yield empty
    assert [str(write) for write in mark.writes()] == []


@pytest.mark.share
@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_partial_run_that_needs_another_step_is_refused_on_empty_clusters(unchanged_empty: Site, case: Row) -> None:
    run = unchanged_empty.play("site", *case.options)
    assert run.code != 0
    assert missing([case.says], run.text) == []
    assert "Traceback" not in run.output
    assert run.changed == {}


@pytest.mark.share
@pytest.mark.parametrize("case", NOTHING_TO_DO, ids=str)
def test_a_partial_run_on_a_complete_site_changes_nothing(deployed: Site, case: Row) -> None:
    mark = Mark(deployed)
    run = deployed.play("site", *case.options).ok()
    assert run.changed == {}
    assert [str(write) for write in mark.writes()] == []


@pytest.mark.share
@pytest.mark.parametrize(
    "task", ["Create the Gateway", "Write HTTPRoutes", "Deploy Bookinfo", "Wait for the controller"]
)
def test_a_run_that_starts_at_a_task_writes_nothing_to_a_complete_site(deployed: Site, task: str) -> None:
    """It may be refused, because facts of the tasks before are missing."""
    mark = Mark(deployed)
    run = deployed.play("site", "--start-at-task", task)
    assert "Traceback" not in run.output
    assert run.changed == {}
    assert [str(write) for write in mark.writes()] == []


@pytest.mark.share
def test_a_cluster_is_added_by_a_run_for_it_alone(deployed: Site) -> None:
    site, name = deployed, deployed.remote_cluster
    site.play("remove_cluster", variables={"remove_cluster": name, "remove_grace": 1}).ok()
    mark = Mark(site)
    site.play("site", "--limit", name).ok()
    assert {write.cluster for write in mark.writes()} <= {name, site.management}
    site.play("doctor").ok()
    assert site.play("site").ok().changed == {}


# -- everything that is known to fail, at once


def refusing(version: str) -> Json:
    """An admission policy that refuses CRDs of Gateway API older than a version, as Gateway API 1.5 brings it."""
    rule = {"apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"]}
    check = {
        "expression": "!object.metadata.name.endsWith('gateway.networking.k8s.io') || "
        f"object.metadata.annotations['gateway.networking.k8s.io/bundle-version'] >= '{version}'",
        "message": f"Gateway API older than {version} is refused",
    }
    constraints = {"resourceRules": [{**rule, "resources": ["customresourcedefinitions"]}]}
    spec = {"failurePolicy": "Fail", "matchConstraints": constraints, "validations": [check]}
    return {"metadata": {"name": "safe-upgrades.gateway.networking.k8s.io"}, "spec": spec}


def webhook() -> Json:
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
    service = {"namespace": "default", "name": "nobody"}
    return {
        "metadata": {"name": "unattended"},
        "webhooks": [
            {
                "name": "unattended.example.com",
                "rules": [rule],
                "clientConfig": {"service": service},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "nowhere"}},
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
            }
        ],
    }


@pytest.mark.share
def test_all_problems_and_warnings_of_a_cluster_are_reported_before_the_first_write(empty: Site) -> None:
    site, cluster = empty, empty.gateway_cluster
    name = "safe-upgrades.gateway.networking.k8s.io"
    binding = {"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}}
    hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    with ExitStack() as undo:
        objects: list[tuple[str, Json]] = [(POLICIES, refusing("v1.5.0")), (BINDINGS, binding), (hooks, webhook())]
        for path, obj in objects:
            site.create(cluster, path, obj)
            undo.callback(site.delete, cluster, f"{path}/{obj['metadata']['name']}")
        mark = Mark(site)
        invalid = site.play("site", variables={"gateway_name": "A_B", "bookinfo_replicas": 0})
        run = site.play("site", environment={"GLOO_GATEWAY_LICENSE_KEY": ""})
        again = site.play("site", "--tags", "mesh", variables={"preflight_fail_on": "warning"})
        assert [str(write) for write in mark.writes()] == []
    assert invalid.code != 0
    assert (
        missing([rf"{cluster}.*: bookinfo_replicas is 0", rf"{cluster}: gateway_name is 'A_B'"], invalid.errors) == []
    )
    assert run.code != 0
    says = [
        rf"warning: {cluster}: .*unattended.example.com .*default/nobody has no ready endpoint",
        rf"{cluster}: gateway_license_key is empty",
        rf"{cluster}: .*Gateway API older than v1.5.0 is refused",
    ]
    assert missing(says, run.text) == []
    assert again.code != 0
    assert missing([r"unattended.example.com"], again.errors) == []
