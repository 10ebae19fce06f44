"""Sites as data: every site and part can be read, variables are filled, objects are marked as their tool does."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lab.errors import LabError
from lab.sites import site
from lab.sites.site import FOLDER, Scope, checked, marked

PARTS = sorted(path.stem for path in (FOLDER / "parts").glob("*.yml"))


def parts_of(steps: list[dict[str, Any]]) -> set[str]:
    used = {step["use"] for step in steps if "use" in step}
    return used | {inner for part in used for inner in parts_of(site.load_part(part)[1])}


def test_every_site_has_a_purpose_and_uses_parts_that_exist() -> None:
    used = set()
    for name in site.names():
        loaded = site.load(name)
        assert loaded.about and loaded.steps
        used |= parts_of(loaded.steps)
    assert used == set(PARTS)


@pytest.mark.parametrize("name", [*site.names(), *(f"parts/{part}" for part in PARTS)])
def test_parts_get_only_variables_that_they_have(name: str) -> None:
    steps = yaml.safe_load((FOLDER / f"{name}.yml").read_text())["steps"]
    for step in steps:
        if "use" in step:
            defaults, _steps = site.load_part(step["use"])
            assert (step.get("with") or {}).keys() <= defaults.keys(), (name, step["use"])


def test_an_unknown_site_is_named_with_the_known_ones() -> None:
    with pytest.raises(LabError, match=f"no site nowhere; the sites are: {site.names()[0]}"):
        site.load("nowhere")


@pytest.mark.parametrize(
    "step",
    [{"where": "all"}, {"run": "true", "use": "platform"}, {"run": "true", "on": "all"}, {True: "all", "run": ""}],
)
def test_a_step_without_exactly_one_action_or_with_an_unknown_key_is_refused(step: dict[Any, Any]) -> None:
    with pytest.raises(LabError, match="a step has one of helm"):
        checked([step])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${number}", 7),
        ("v${number}", "v7"),
        ("${values}", {"name": "cluster1-a", "list": [1, 2]}),
        ({"${cluster}": ["${number}", "{.status.x}", "$HOME"]}, {"cluster1": [7, "{.status.x}", "$HOME"]}),
        ("${namespace}", "cluster1-system"),
        (True, True),
    ],
)
def test_variables_are_filled(value: Any, expected: Any) -> None:
    outer = Scope({}, {"suffix": "a", "namespace": "of-the-user"})
    given = {"values": {"name": "${cluster}-${suffix}", "list": [1, 2]}, "number": 7}
    scope = Scope(given, {"number": 1, "namespace": "${cluster}-system"}, outer)
    assert scope.filled(value, {"cluster": "cluster1"}) == expected


def test_a_variable_of_the_same_name_is_that_of_the_user() -> None:
    outer = Scope({}, {"namespace": "gloo"})
    assert Scope({"namespace": "${namespace}"}, {"namespace": "other"}, outer).filled("${namespace}", {}) == "gloo"


def test_an_unknown_variable_is_named() -> None:
    with pytest.raises(LabError, match="unknown variable nothing; known are: cluster, number"):
        Scope({}, {"number": 1}).filled("${nothing}", {"cluster": "cluster1"})


@pytest.mark.parametrize(
    ("by", "labels", "annotations"),
    [
        (
            "argocd",
            {"app.kubernetes.io/instance": "mesh"},
            {"argocd.argoproj.io/tracking-id": "mesh:apps/Deployment:gloo/x"},
        ),
        ("flux", {"helm.toolkit.fluxcd.io/name": "mesh", "helm.toolkit.fluxcd.io/namespace": "gloo"}, None),
        ("istioctl", {"install.operator.istio.io/owning-resource": "unknown"}, None),
    ],
)
def test_objects_carry_the_marks_of_their_tool(
    by: str, labels: dict[str, str], annotations: dict[str, str] | None
) -> None:
    obj: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "labels": {"app": "x"}},
    }
    [result] = marked([obj], by, "mesh", "gloo")
    assert result["metadata"]["labels"] == {"app": "x", **labels}
    assert result["metadata"].get("annotations") == annotations
    assert obj["metadata"]["labels"] == {"app": "x"}
