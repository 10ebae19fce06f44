"""Variables that several playbooks share, evaluated as Ansible does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

PLAYBOOKS = Path(__file__).resolve().parents[3] / "playbooks"


@pytest.mark.parametrize(
    ("data", "namespaces"),
    [
        ({}, []),
        ({"routing_virtual_destinations": [{"name": "a", "namespace": "shop"}]}, ["shop"]),
        (
            {
                "routing_virtual_destinations": [{"namespace": "shop"}, {"namespace": "news"}, {"name": "no"}],
                "routing_route_tables": [{"namespace": "news"}, {"namespace": ""}, {"namespace": "edge"}],
            },
            ["shop", "news", "edge"],
        ),
    ],
)
def test_a_workspace_has_the_namespaces_of_destinations_and_route_tables(
    data: dict[str, Any], namespaces: list[str]
) -> None:
    init_plugin_loader([])
    loader = DataLoader()
    variables = loader.load_from_file(str(PLAYBOOKS / "vars/workspace.yml"), trusted_as_template=True)
    found = Templar(loader=loader, variables={**variables, **data}).template(variables["mesh_workspace_namespaces"])
    assert found == namespaces
