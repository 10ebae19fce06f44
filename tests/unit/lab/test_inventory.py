"""The inventory of a lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import charts, inventory, settings
from lab.programs.programs import Supplies

REPO = Path(__file__).resolve().parents[3]


def supplies(**kgateway_charts: str) -> Supplies:
    charts = {name.replace("_", "-"): Path(chart) for name, chart in kgateway_charts.items()}
    return Supplies({"helm": Path("/x/helm")}, {}, Path("/x/istio"), Path("/x/crds.yaml"), Path("/x"), charts)


def test_inventory_has_the_contract_shape(tmp_path: Path) -> None:
    data = inventory.inventory(tmp_path, "mgmt", ["cluster1", "cluster2", "cluster3"], supplies())["all"]
    assert data["children"]["management"]["hosts"] == {"mgmt": {"kube_context": "mgmt"}}
    assert list(data["children"]["workload"]["hosts"]) == ["cluster1", "cluster2", "cluster3"]
    assert data["children"]["gateway"]["hosts"] == {"cluster1": {}}
    assert data["vars"]["kubeconfig"] == str(tmp_path / "kubeconfig")
    assert data["vars"]["mesh_eastwest_chart"] == {"ref": "/x/istio/gateway"}


def test_charts_of_the_inventory_exist(tmp_path: Path) -> None:
    charts.write(tmp_path)
    variables = inventory.inventory(tmp_path, "mgmt", ["cluster1"], supplies())["all"]["vars"]
    own = (str(charts.SOURCES), str(tmp_path))
    local = [value["ref"] for value in variables.values() if isinstance(value, dict) and "ref" in value]
    local = [ref for ref in local if ref.startswith(own)] + list(variables["lab_charts"].values())
    assert len(local) == 3 + len(list(charts.SOURCES.iterdir()))
    assert all(Path(ref, "Chart.yaml").is_file() for ref in local)


@pytest.mark.parametrize("product", settings.SETTINGS["product"].values)
def test_the_setting_product_chooses_the_product_line(tmp_path: Path, product: str) -> None:
    settings.change(tmp_path, [("product", product)])
    variables = inventory.inventory(tmp_path, "mgmt", ["cluster1"], supplies())["all"]["vars"]
    assert variables.get("gateway_product", "auto") == product
    names = settings.SETTINGS["product"].values[1:]
    assert {*names, *(f"{name}-crds" for name in names)} <= set(variables["lab_charts"])


def test_the_charts_of_a_real_controller_replace_those_of_the_lab(tmp_path: Path) -> None:
    charts.write(tmp_path)
    own = inventory.inventory(tmp_path, "mgmt", ["cluster1"], supplies())["all"]["vars"]["lab_charts"]
    real = supplies(kgateway="/real/kgateway-2.4.0.tgz", kgateway_crds="/real/kgateway-crds")
    found = inventory.inventory(tmp_path, "mgmt", ["cluster1"], real)["all"]["vars"]["lab_charts"]
    assert found == {**own, "kgateway": "/real/kgateway-2.4.0.tgz", "kgateway-crds": "/real/kgateway-crds"}


@pytest.mark.slow
def test_the_inventory_plugin_finds_the_same_hosts_groups_and_variables(tmp_path: Path) -> None:
    contexts: list[Any] = [{"name": name, "context": {}} for name in ("mgmt", "cluster1", "cluster2", "cluster3")]
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump({"contexts": contexts}))
    settings.change(tmp_path, [("product", "kgateway")])
    inventory.write(tmp_path, "mgmt", ["cluster1", "cluster2", "cluster3"], supplies())
    file, plugin = (_listed(tmp_path, path) for path in ("inventory.yml", "inventory/clusters.gloo.yml"))
    assert set(file["_meta"]["hostvars"]) == {"mgmt", "cluster1", "cluster2", "cluster3"}
    assert file["_meta"]["hostvars"]["cluster1"]["gateway_product"] == "kgateway"
    assert plugin == file


def _listed(folder: Path, inventory_file: str) -> Any:
    """What ansible-inventory finds; text that is no template is marked in its output, which is left out here."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return value.get("__ansible_unsafe") or {key: plain(each) for key, each in value.items()}
        return value

    variables = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(folder / "home"),
    }
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "-i", inventory_file, "--list"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return plain(json.loads(done.stdout))
