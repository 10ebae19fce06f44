"""What the collection's archive contains, what it requires, and that paths in its texts are right."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

REPO = Path(__file__).resolve().parents[2]
GALAXY: dict[str, Any] = yaml.safe_load((REPO / "galaxy.yml").read_text())
SHIPPED = {"changelogs", "docs", "inventory", "meta", "playbooks", "plugins", "roles"}
SHIPPED |= {"CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md"}
TEXTS = [REPO / "README.md", REPO / "CONTRIBUTING.md", REPO / "SECURITY.md"]


# -- archive


def _tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (REPO / name).exists()]


def _generated() -> Iterator[str]:
    """A file for each pattern of files that are not tracked, and what editors and Python leave in any folder."""
    for line in (REPO / ".gitignore").read_text().splitlines():
        pattern = line.strip().strip("/").replace("*", "x")
        if pattern and not pattern.startswith("#"):
            yield f"{pattern}/file" if line.endswith("/") or pattern in (".venv", ".cache") else pattern
    yield from ("plugins/modules/__pycache__/objects.pyc", "roles/mesh/__pycache__/x.txt", ".git/config")


@pytest.mark.slow
def test_the_archive_has_what_users_need_and_nothing_that_was_generated(tmp_path: Path) -> None:
    tracked, generated = _tracked(), list(_generated())
    assert ".lab/file" in generated and "x.tar.gz" in generated
    for name in [*tracked, *generated]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    for name in ("galaxy.yml", "README.md", "LICENSE", "meta/runtime.yml"):
        (tmp_path / name).write_bytes((REPO / name).read_bytes())
    program = Path(sys.executable).with_name("ansible-galaxy")
    command = [str(program), "collection", "build", "--output-path", str(tmp_path / "built")]
    subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=240)
    (archive,) = (tmp_path / "built").iterdir()
    with tarfile.open(archive) as packed:
        found = {member.name for member in packed if member.isfile()} - {"MANIFEST.json", "FILES.json"}
    assert found == {name for name in tracked if name.partition("/")[0] in SHIPPED}


def test_every_ignored_name_of_the_archive_exists_or_is_generated() -> None:
    known = {part for name in [*_tracked(), *_generated()] for part in (name, *map(str, Path(name).parents))}
    known |= {"__pycache__", "*.tar.gz"}
    assert set(GALAXY["build_ignore"]) <= known


# -- requirements


def _names(text: str) -> set[str]:
    """Names of packages of a requirements file."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {re.split(r"[ <>=!~;\[]", line)[0] for line in lines if line}


def _required() -> str:
    environment = yaml.safe_load((REPO / "meta" / "execution-environment.yml").read_text())
    assert environment["version"] == 1 and set(environment["dependencies"]) == {"python"}
    path = environment["dependencies"]["python"]
    assert path.partition("/")[0] in SHIPPED, "ansible-builder reads it from the archive"
    return (REPO / path).read_text()


def _imported() -> set[str]:
    """Packages that provide what plugins import."""
    modules = set()
    for path in (REPO / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.partition(".")[0])
    providers = metadata.packages_distributions()
    others = modules - set(sys.stdlib_module_names) - {"ansible_collections"}
    return {provider.lower() for module in others for provider in providers[module] if provider != "ansible"}


def test_what_plugins_import_is_required_or_comes_with_what_is_required() -> None:
    required = _names(_required())
    direct = {"ansible-core", *required}
    with_them = {name.lower() for each in direct for name in _names("\n".join(metadata.requires(each) or []))}
    assert required <= _imported() <= direct | with_them
    assert "websocket-client" in _imported(), "it comes with kubernetes"


def test_the_requirements_agree_everywhere() -> None:
    required = _names(_required())
    development = (REPO / "requirements.in").read_text()
    assert required <= _names(development)
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (REPO / "requirements.txt").read_text(), re.MULTILINE))
    assert required <= locked.keys()
    (row,) = re.findall(
        r"^\| Python packages (.*?); no other collection", (REPO / "README.md").read_text(), re.MULTILINE
    )
    assert set(re.findall(r"`(.+?)`", row)) == required | {"ansible-core"}
    assert GALAXY["dependencies"] == {}
    # An upper bound would conflict with other collections of an image.
    assert not re.search(r"[<~]|==", _required())


def test_the_definition_in_the_documentation_fits_this_version() -> None:
    text = (REPO / "docs" / "execution_environment.md").read_text()
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    definition = yaml.safe_load(block)
    archive = f"{GALAXY['namespace']}-{GALAXY['name']}-{GALAXY['version']}.tar.gz"
    sources = {file["src"]: file["dest"] for file in definition["additional_build_files"]}
    (collection,) = definition["dependencies"]["galaxy"]["collections"]
    assert collection == {"name": f"{sources[archive]}/{archive}", "type": "file"}
    copied = definition["additional_build_steps"]["append_final"][0].split()
    assert copied[:2] == ["COPY", f"_build/{sources['helm']}/helm"]
    core = yaml.safe_load((REPO / "meta" / "runtime.yml").read_text())["requires_ansible"].removesuffix(".0")
    assert definition["dependencies"]["ansible_core"]["package_pip"] == f"ansible-core{core}"


# -- texts


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_commands_and_paths_exist(path: Path) -> None:
    text = path.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z][a-z-]*)", text)) <= targets
    for name in re.findall(r"`((?:plugins|tests|changelogs|meta|lab|roles|playbooks)/[\w./-]*)`", text):
        assert (REPO / name).exists() or list((REPO / "roles").glob(f"*/{name}")), name


def test_no_address_is_invented() -> None:
    for path in (REPO / "CONTRIBUTING.md", REPO / "SECURITY.md"):
        assert not re.search(r"https?://|example\.|\S@\S", path.read_text()), path.name
