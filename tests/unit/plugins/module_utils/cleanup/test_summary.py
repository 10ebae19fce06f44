"""The summary: few lines about many objects."""

from __future__ import annotations

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.plan import Step
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.releases import HELM
from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.summary import summary


def step(action: str, kind: str, name: str, namespace: str = "n", reason: str = "because") -> Step:
    return Step("application", action, "v1", kind, namespace, name, reason)


STEPS = [
    step("delete", "HTTPRoute", "r"),
    *(step("delete", "Service", name) for name in "abc"),
    step("delete", "GatewayClass", "x", ""),
    step("delete", "GatewayClass", "y", ""),
    step("wait", "Pod", "istiod"),
    step("switch off", "Deployment", "controller"),
    step("uninstall", HELM, "edge"),
    step("give back", "Gateway", "http"),
    step("give back", HELM, "theirs"),
    step("keep", "Namespace", "x", "", "contains objects not managed by this collection: ConfigMap x/a"),
    *(step("keep", "CustomResourceDefinition", name, "", "it stays") for name in "ab"),
    step("keep", HELM, "crds", "n", "it stays"),
]


def test_one_of_a_kind_is_named_and_several_are_counted() -> None:
    assert summary(STEPS, check=False) == [
        "removed 6 objects: HTTPRoute n/r, 3 Services, 2 GatewayClasses",
        "uninstalled Helm release: n/edge",
        "restored: Gateway n/http, Helm release n/theirs",
        "kept: Namespace x (contains objects not managed by this collection: ConfigMap x/a)",
        "kept: CustomResourceDefinitions a, b, Helm release n/crds (it stays)",
    ]


def test_check_mode_says_would() -> None:
    assert [line.split(":")[0] for line in summary(STEPS, check=True)] == [
        "would remove 6 objects",
        "would uninstall Helm release",
        "would restore",
        "would keep",
        "would keep",
    ]


def test_nothing_to_remove() -> None:
    assert summary([], check=False) == ["nothing to remove"]
    assert summary([step("wait", "Gateway", "http")], check=True) == ["nothing to remove"]


def test_many_objects_make_few_short_lines() -> None:
    many = [
        *(step("delete", "Service", f"s{number}") for number in range(200)),
        *(step("uninstall", HELM, f"r{number}") for number in range(20)),
        *(step("give back", "Gateway", f"g{number}") for number in range(20)),
        *(step("keep", "Namespace", f"k{number}", "", f"reason {number}") for number in range(20)),
    ]
    lines = summary(many, check=False)
    assert len(lines) <= 10 and max(map(len, lines)) < 200
    assert lines[1].endswith("n/r5 and 14 more")
    assert lines[2].endswith("Gateway n/g5 and 14 more")
    assert lines[-1] == "kept: 15 Namespaces (run with -v to see the reasons)"
