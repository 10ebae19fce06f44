"""Every public filter, test and lookup is documented, and its examples run. Documentation of modules can be parsed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PLUGINS = Path(__file__).resolve().parents[3] / "plugins"
PACKAGE = "ansible_collections.multicluster.gloo.plugins"
CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.example.com"},
}


def _public() -> list[tuple[str, str, Any]]:
    """(type, name, documentation) of every plugin a playbook can use."""
    found = []
    for kind in ("filter", "test", "lookup"):
        for file in sorted((PLUGINS / kind).glob("*.py")):
            module = importlib.import_module(f"{PACKAGE}.{kind}.{file.stem}")
            names = [file.stem]
            if hasattr(module, "FilterModule"):
                names = list(module.FilterModule().filters())
            elif hasattr(module, "TestModule"):
                names = list(module.TestModule().tests())
            found += [(kind, name, _documentation(kind, name, module)) for name in names]
    return found


def _documentation(kind: str, name: str, module: Any) -> dict[str, Any]:
    """Parts of the documentation: beside the plugin, or in its own file."""
    beside = PLUGINS / kind / f"{name}.yml"
    if beside.exists():
        return dict(yaml.safe_load(beside.read_text(encoding="utf-8")))
    if module.__name__.rpartition(".")[2] != name:
        return {}
    parts = {part: getattr(module, part, "") for part in ("DOCUMENTATION", "EXAMPLES", "RETURN")}
    return {part: text if part == "EXAMPLES" else yaml.safe_load(text) for part, text in parts.items()}


PUBLIC = _public()


def _tasks(documentation: dict[str, Any]) -> list[dict[str, Any]]:
    """The example's tasks that need no cluster."""
    tasks = yaml.safe_load(documentation.get("EXAMPLES") or "") or []
    return [task for task in tasks if any(key.startswith("ansible.builtin.") for key in task)]


@pytest.mark.parametrize(("kind", "name", "documentation"), PUBLIC, ids=[f"{kind}-{name}" for kind, name, _ in PUBLIC])
def test_every_public_plugin_is_documented(kind: str, name: str, documentation: dict[str, Any]) -> None:
    assert documentation["DOCUMENTATION"]["name"] == name
    assert documentation["DOCUMENTATION"]["short_description"]
    assert documentation["RETURN"]
    assert any(f"multicluster.gloo.{name}" in str(task) for task in _tasks(documentation)), "no example that runs"


@pytest.mark.parametrize("file", sorted((PLUGINS / "modules").glob("*.py")), ids=lambda file: file.stem)
def test_the_documentation_of_modules_is_valid_yaml(file: Path) -> None:
    module = importlib.import_module(f"{PACKAGE}.modules.{file.stem}")
    documentation, examples, returned = map(yaml.safe_load, (module.DOCUMENTATION, module.EXAMPLES, module.RETURN))
    assert documentation["module"] == file.stem
    assert isinstance(examples, list) and "msg" in returned


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "things.yaml").write_text(yaml.safe_dump(CRD), encoding="utf-8")
    tasks = [task for _kind, _name, documentation in PUBLIC for task in _tasks(documentation)]
    play = tmp_path / "play.yml"
    play.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(PLUGINS.parent / ".cache" / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(play)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"ok={len(tasks)} " in done.stdout
