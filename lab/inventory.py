"""The lab's inventory: like one for real clusters, with the lab's charts instead of the vendors'.

It is written twice: as a file with hosts, and for the inventory plugin of the collection, which finds the same hosts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab import charts, settings
from lab.programs.go_build import ISTIO_VERSION
from lab.programs.programs import Supplies

#: variables that the inventory plugin gives to each host
_OF_PLUGIN = frozenset(["ansible_connection", "ansible_python_interpreter", "kubeconfig"])


def inventory(home: Path, management: str, workloads: list[str], supplies: Supplies) -> dict[str, Any]:
    """Inventory as data; the gateway is in the first workload cluster, as in the guide."""

    def host(name: str) -> dict[str, Any]:
        return {"kube_context": name}

    real = {name: str(chart) for name, chart in supplies.kgateway_charts.items()}
    chart, product = {**charts.references(home), **real}, settings.value(home, "product")
    return {
        "all": {
            "vars": {
                "ansible_connection": "local",
                "ansible_python_interpreter": "{{ ansible_playbook_python }}",
                "kubeconfig": str(home / "kubeconfig"),
                "helm_binary": str(supplies.programs["helm"]),
                "mesh_crds_chart": {"ref": chart["gloo-platform-crds"]},
                "mesh_platform_chart": {"ref": chart["gloo-platform"]},
                "mesh_operator_chart": {"ref": chart["gloo-operator"]},
                "mesh_eastwest_chart": {"ref": str(supplies.istio_charts / "gateway")},
                "gateway_api_crds": str(supplies.gateway_api_crds),
                **({} if product == "auto" else {"gateway_product": product}),
                "lab_charts": chart,
                "gateway_crds_chart": {"ref": "{{ lab_charts[gateway_product_facts.name ~ '-crds'] }}"},
                "gateway_chart": {"ref": "{{ lab_charts[gateway_product_facts.name] }}"},
            },
            "children": {
                "management": {"hosts": {management: host(management)}},
                "workload": {"hosts": {name: host(name) for name in workloads}},
                "gateway": {"hosts": {workloads[0]: {}}},
            },
        }
    }


def of_plugin(home: Path, management: str, workloads: list[str]) -> dict[str, Any]:
    """Configuration of the inventory plugin. The other variables are group variables, see write()."""
    return {
        "plugin": "multicluster.gloo.clusters",
        "kubeconfig": str(home / "kubeconfig"),
        "contexts": [management, *workloads],
        "management": [management],
        "workload": workloads,
        "gateway": workloads[:1],
    }


def write(home: Path, management: str, workloads: list[str], supplies: Supplies) -> None:
    """Replace the inventory files: inventory.yml, and the folder inventory for the plugin."""
    data = inventory(home, management, workloads, supplies)
    variables = {name: value for name, value in data["all"]["vars"].items() if name not in _OF_PLUGIN}
    _replace(home / "inventory.yml", data)
    _replace(home / "inventory" / "clusters.gloo.yml", of_plugin(home, management, workloads))
    _replace(home / "inventory" / "group_vars" / "all.yml", variables)


def _replace(path: Path, data: dict[str, Any]) -> None:
    """Write the file in one step."""
    head = f"# Written by `lab up`. The lab's istiod is built from {ISTIO_VERSION}, whatever version is requested.\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(head + yaml.safe_dump(data, sort_keys=False))
    fresh.replace(path)
