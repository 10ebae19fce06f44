"""Variables that several playbooks share, evaluated as Ansible does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from ansible_collections.multicluster.gloo.plugins.module_utils.site.named_kinds import LIMIT
from ansible_collections.multicluster.gloo.plugins.module_utils.site.variables import VARIABLES

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


LIMITS = [name for name, kind in VARIABLES["playbooks"].items() if kind is LIMIT]


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_of_zero_seconds_is_not_replaced_by_the_default(name: str) -> None:
    init_plugin_loader([])
    texts = [path.read_text() for path in PLAYBOOKS.glob("*.yml")]
    [expression] = {found for text in texts for found in re.findall(rf'"({{{{ {name} \|[^"]*}}}})"', text)}
    omitted = "omitted"
    for values, expected in (
        ({}, omitted),
        ({name: None}, omitted),
        ({name: 0}, 0),
        ({name: "0"}, "0"),
        ({name: 7}, 7),
    ):
        templar = Templar(loader=DataLoader(), variables={"omit": omitted, **values})
        assert templar.template(trust_as_template(expression)) == expected
