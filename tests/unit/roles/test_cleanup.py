"""The role cleanup executes every phase of the plan, in the plan's order, and does not use variables of other roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils.cleanup.plan import PHASES

ROLE = Path(__file__).resolve().parents[3] / "roles" / "cleanup"


def test_one_task_per_phase_in_the_order_of_the_plan() -> None:
    [_validation, block] = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text())
    executed = [
        task["multicluster.gloo.cleanup"]["phase"] for task in block["block"] if "multicluster.gloo.cleanup" in task
    ]
    assert executed == list(PHASES)


def test_defaults_and_argument_specs_name_the_same_variables() -> None:
    defaults: dict[str, Any] = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    specs = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert set(defaults) == set(specs)
    assert all(name.startswith("cleanup_") for name in defaults)
    text = "".join(file.read_text() for file in ROLE.rglob("*.yml"))
    assert not [name for name in ("mesh_", "bookinfo_", "gateway_", "routing_") if f"{{{{ {name}" in text]
