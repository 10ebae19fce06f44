"""Variables of roles: defaults and argument specs have the same variables with the same values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).resolve().parents[3] / "roles").iterdir() if path.is_dir())


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_agree(role: Path) -> None:
    defaults = load(role / "defaults" / "main.yml")
    for entry, spec in load(role / "meta" / "argument_specs.yml")["argument_specs"].items():
        options = spec["options"]
        required = {name for name, option in options.items() if option.get("required")}
        assert set(options) == set(defaults) | required, entry
        told = {name: option["default"] for name, option in options.items() if "default" in option}
        templates = {name for name, value in defaults.items() if "{{" in str(value)}
        assert {name: value for name, value in told.items() if name not in templates} == {
            name: defaults[name] for name in told if name not in templates
        }, entry


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_variables_start_with_the_roles_name(role: Path) -> None:
    files = [file for folder in ("defaults", "vars") for file in (role / folder).glob("*.yml")]
    for file in files:
        for name in load(file):
            assert name.startswith((f"{role.name}_", f"__{role.name}_")), (file, name)
