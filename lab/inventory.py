"""The lab's inventory: like one for real clusters, with the lab's charts instead of the vendors'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lab import charts, settings
from lab.programs.go_build import ISTIO_VERSION
from lab.programs.programs import Supplies


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


def write(path: Path, data: dict[str, Any]) -> None:
    """Replace the inventory file in one step."""
    head = f"# Written by `lab up`. The lab's istiod is built from {ISTIO_VERSION}, whatever version is requested.\n"
    fresh = path.with_suffix(".new")
    fresh.write_text(head + yaml.safe_dump(data, sort_keys=False))
    fresh.replace(path)
