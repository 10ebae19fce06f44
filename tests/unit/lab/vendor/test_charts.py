"""The stand-ins for the vendor's charts."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lab.charts import SOURCES as CHARTS


def crds(file: Any) -> Any:
    """The CRDs of a template with all switches on; [] when their fields are templates, too."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip(" #").startswith("{{")]
    if any("{{" in line for line in lines):
        return []
    found = [document for document in yaml.safe_load_all("\n".join(lines)) if document]
    return [document for document in found if document["kind"] == "CustomResourceDefinition"]


CRDS = [(file, crd) for file in sorted(CHARTS.glob("*/templates/*.yaml")) for crd in crds(file)]


@pytest.mark.parametrize("crd", [crd for _, crd in CRDS], ids=[f"{f.parts[-3]}/{f.name}" for f, _ in CRDS])
def test_crds_are_structural_with_the_right_name(crd: Any) -> None:
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


def gateway_parameters(line: str) -> Any:
    """Properties of spec.kube in the CRD of a line: without the blocks of other lines."""
    kept, skipped = [], False
    for text in (CHARTS / "gloo-gateway-crds" / "templates" / "gatewayparameters.yaml").read_text().splitlines():
        if "{{- if eq $line" in text:
            skipped = f'"{line}"' not in text
        elif "{{- end" in text:
            skipped = False
        elif not skipped:
            kept.append(text)
    crd = yaml.safe_load("\n".join(kept))
    return crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["kube"][
        "properties"
    ]


def test_gateway_parameters_have_the_fields_of_their_line() -> None:
    old, new = gateway_parameters("2.1"), gateway_parameters("2.3")
    overlays = {f"{name}Overlay" for name in ("deployment", "service", "serviceAccount")}
    scaling = {"podDisruptionBudget", "horizontalPodAutoscaler", "verticalPodAutoscaler"}
    assert set(new) - set(old) == overlays | scaling
    assert set(old) - set(new) == {"aiExtension", "agentgateway", "floatingUserId"}

    def more(*path: str) -> set[str]:
        found = [old, new]
        for name in path:
            found = [each[name]["properties"] for each in found]
        return set(found[1]) - set(found[0])

    assert more("envoyContainer") == {"extraArgs"}
    assert more("envoyContainer", "bootstrap") == {"logFormat", "dnsResolver", "enableReadinessProbeProxyProtocol"}
    assert more("service") == {"loadBalancerClass", "loadBalancerSourceRanges"}
    assert more("podTemplate") == {"priorityClassName"}


def test_statuses_spell_state_as_the_vendor_does() -> None:
    for kind in ("virtualdestination", "routetable", "workspace", "workspacesettings", "kubernetescluster"):
        crd = yaml.safe_load((CHARTS / "gloo-platform-crds" / "templates" / f"{kind}.yaml").read_text())
        status = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
        assert "approval" in status["common"]["properties"]["State"]["properties"]
    trust = yaml.safe_load((CHARTS / "gloo-platform-crds" / "templates" / "roottrustpolicy.yaml").read_text())
    status = trust["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    assert set(status) == {"state", "message", "observedGeneration"}
