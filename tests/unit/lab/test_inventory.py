"""The inventory of a lab."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lab import charts, inventory


def test_inventory_has_the_contract_shape(tmp_path: Path) -> None:
    supplies: Any = SimpleNamespace(
        programs={"helm": Path("/x/helm")}, istio_charts=Path("/x/istio"), gateway_api_crds=Path("/x/crds.yaml")
    )
    data = inventory.inventory(tmp_path, "mgmt", ["cluster1", "cluster2", "cluster3"], supplies)["all"]
    assert data["children"]["management"]["hosts"] == {"mgmt": {"kube_context": "mgmt"}}
    assert list(data["children"]["workload"]["hosts"]) == ["cluster1", "cluster2", "cluster3"]
    assert data["children"]["gateway"]["hosts"] == {"cluster1": {}}
    assert data["vars"]["kubeconfig"] == str(tmp_path / "kubeconfig")
    assert data["vars"]["mesh_eastwest_chart"] == {"ref": "/x/istio/gateway"}


def test_charts_of_the_inventory_exist(tmp_path: Path) -> None:
    supplies: Any = SimpleNamespace(programs={"helm": Path("/x")}, istio_charts=Path("/x"), gateway_api_crds=Path("/x"))
    charts.write(tmp_path)
    variables = inventory.inventory(tmp_path, "mgmt", ["cluster1"], supplies)["all"]["vars"]
    own = (str(charts.SOURCES), str(tmp_path))
    local = [value["ref"] for value in variables.values() if isinstance(value, dict) and value["ref"].startswith(own)]
    assert len(local) == 5
    assert all(Path(ref, "Chart.yaml").is_file() for ref in local)
