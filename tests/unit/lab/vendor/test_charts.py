"""The stand-ins for the vendor's charts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lab.charts import SOURCES as CHARTS

CRDS = sorted(file for file in CHARTS.glob("*/templates/*.yaml") if "CustomResourceDefinition" in file.read_text())


@pytest.mark.parametrize("file", CRDS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_crds_are_structural_with_the_right_name(file: Any) -> None:
    crd = yaml.safe_load(file.read_text())
    spec = crd["spec"]
    assert crd["metadata"]["name"] == f"{spec['names']['plural']}.{spec['group']}"
    for version in spec["versions"]:
        _structural(version["schema"]["openAPIV3Schema"], crd["metadata"]["name"])


def _structural(schema: Any, where: Any) -> None:
    assert "type" in schema, f"{where}: a schema without type is not structural"
    if schema["type"] == "array":
        _structural(schema["items"], f"{where}[]")
    for name, inner in (schema.get("properties") or {}).items():
        _structural(inner, f"{where}.{name}")


def test_statuses_spell_state_as_the_vendor_does() -> None:
    for kind in ("virtualdestination", "routetable", "workspace", "workspacesettings", "kubernetescluster"):
        crd = yaml.safe_load((CHARTS / "gloo-platform-crds" / "templates" / f"{kind}.yaml").read_text())
        status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        assert "approval" in status["common"]["properties"]["State"]["properties"]
    trust = yaml.safe_load((CHARTS / "gloo-platform-crds" / "templates" / "roottrustpolicy.yaml").read_text())
    status = trust["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert set(status) == {"state", "message", "observedGeneration"}
