"""The documentation agrees with the project: links, table of contents, commands, variables, and values in examples."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest
import yaml
from ansible.cli.doc import DocCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.products import PRODUCTS
from ansible_collections.multicluster.gloo.plugins.module_utils.site import variable_kinds as kinds
from ansible_collections.multicluster.gloo.plugins.module_utils.site.variables import VARIABLES
from lab import __main__ as lab
from lab import settings
from lab.errors import LabError
from lab.sites import site as sites

REPO = Path(__file__).resolve().parents[2]
DOCS = sorted((REPO / "docs").glob("*.md"))
PAGES = [*sorted(REPO.glob("*.md")), REPO / "lab/README.md", *sorted((REPO / "roles").glob("*/README.md")), *DOCS]
KINDS = {name: kind for table in VARIABLES.values() for name, kind in table.items()}


def name_of(page: Path) -> str:
    return str(page.relative_to(REPO))


# -- reading Markdown -------------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A fenced or indented block of code with its language, "" without one."""

    language: str
    text: str


FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```", re.M | re.S)


def blocks(text: str) -> list[Block]:
    return [Block(found[2], found[3]) for found in FENCE.finditer(text)]


def prose(text: str) -> str:
    return FENCE.sub("", text)


def inline(text: str) -> list[str]:
    """Inline code; a line break in it is a space."""
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(text))]


def anchors(text: str) -> set[str]:
    """Anchors of headings as GitHub and MyST form them."""
    titles = re.findall(r"^#+ +(.+?) *$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


# -- links and table of contents --------------------------------------------------------------------------------------


def broken_links(page: Path, text: str) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or not file.is_relative_to(REPO):
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(text if file == page else file.read_text()):
            yield f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    assert list(broken_links(page, page.read_text())) == []


@pytest.mark.parametrize(
    "text", ["[a](nothing.md)", "[a](doctor.md#nothing)", "# One\n[a](#two)", "[a](../../outside.md)"]
)
def test_a_broken_link_is_found(text: str) -> None:
    assert list(broken_links(REPO / "docs/page.md", text))


def contents() -> list[str]:
    """Entries of all tables of contents of the index, as paths in the repository without suffix."""
    trees = [block.text for block in blocks((REPO / "docs/index.md").read_text()) if block.language == "{toctree}"]
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    names = [re.sub(r"^.*<(.*)>$", r"\1", line) for line in lines]
    return [name.lstrip("/") if name.startswith("/") else f"docs/{name}" for name in names]


def test_every_page_is_in_the_table_of_contents_once() -> None:
    pages = [name_of(page).removesuffix(".md") for page in PAGES if page.name != "index.md"]
    assert sorted(contents()) == sorted(pages)


def test_every_page_is_linked_from_the_index() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)\)", (REPO / "docs/index.md").read_text()))
    assert {os.path.relpath(REPO / f"{name}.md", REPO / "docs") for name in contents()} - linked == set()


# -- commands ---------------------------------------------------------------------------------------------------------


class Wrong(Exception):
    """What is wrong with a command."""


#: A command in the documentation. Output, which begins otherwise, is none.
STARTS = re.compile(
    r"^(?:[A-Z_]+=\S* )*(make|ansible-playbook|ansible-doc|ansible-inventory|ansible-galaxy|python -m lab)(?= |$)"
)


def commands(text: str) -> Iterator[str]:
    """Commands in blocks of code and inline code, with continued lines joined, without comments at their end."""
    indented = re.findall(r"(?:^ {4}\S.*\n?)+", prose(text), re.M)
    lines = [
        re.sub(r"(^|\s+)#.*$", "", line.strip())
        for block in [each.text for each in blocks(text)] + indented
        for line in block.replace("\\\n", " ").splitlines()
    ]
    for line in lines + inline(text):
        for part in re.split(r" && | \| |; ", line):
            if STARTS.match(part):
                yield re.split(r" {3,}", part)[0]


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Wrong(message)


def parsed(cli: type[Any], words: list[str]) -> argparse.Namespace:
    """Arguments of a program of Ansible, as itself reads them."""
    program = cli([words[0], *words[1:]])
    program.init_parser()
    program.parser.error = Parser.error.__get__(program.parser)
    parsed: argparse.Namespace = program.parser.parse_args(words[1:])
    return parsed


PLAYBOOKS = {path.stem for path in (REPO / "playbooks").glob("*.yml")}
TAGS = set(re.findall(r"\w+", " ".join(re.findall(r"tags: \[(.*)\]", (REPO / "playbooks/site.yml").read_text()))))


def check_variable(name: str) -> None:
    if name not in KINDS:
        raise Wrong(f"no variable {name}")


def check_play(words: list[str]) -> None:
    given = parsed(PlaybookCLI, words)
    for playbook in given.args:
        known = re.fullmatch(r"(?:playbooks/|multicluster\.gloo\.|\.\./\.\./playbooks/)?(\w+?)(?:\.yml)?", playbook)
        if not known or known[1] not in PLAYBOOKS:
            raise Wrong(f"no playbook {playbook}")
    for extra in given.extra_vars or []:
        for name in yaml.safe_load(extra) if extra.startswith("{") else re.findall(r"(?:^| )(\w+)=", extra):
            check_variable(name)
    if unknown := {tag for tags in given.tags or [] for tag in tags.split(",")} - TAGS:
        raise Wrong(f"no tags {unknown}")


MAKEFILE = (REPO / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):.*## ", MAKEFILE, re.M))
MAKE_VARIABLES = set(re.findall(r"^([A-Z_]+) \??:?=", MAKEFILE, re.M)) | set(re.findall(r"\b([A-Z]+)=", MAKEFILE))


def check_make(words: list[str]) -> None:
    for word in words[1:]:
        name, assigns, value = word.partition("=")
        if not assigns and word not in TARGETS | {"..."}:
            raise Wrong(f"no target {word}")
        if assigns and name not in MAKE_VARIABLES:
            raise Wrong(f"make has no variable {name}")
        if name == "SITE" and value not in [*sites.names(), "NAME"]:
            raise Wrong(f"no site {value}")
        if name == "ARGS" and "lab-up" in words:
            check_lab(["python", "-m", "lab", "up", *shlex.split(value)])
        elif name == "ARGS" and not {"unit", "acceptance", "test", "bench"} & set(words):
            check_play(["ansible-playbook", "playbooks/site.yml", *shlex.split(value)])


def check_lab(words: list[str]) -> None:
    parser = lab._parser()
    given = [word for word in words[3:] if word not in ("[--workloads", "N]", "[NAME]")]
    if "KEY=VALUE" in given or "NAME" in given:
        return
    try:
        for each in getattr(parser.parse_args(given), "set", []):
            settings.parse(each)
    except LabError as problem:
        raise Wrong(str(problem)) from problem
    except SystemExit as stopped:
        raise Wrong(f"python -m lab {' '.join(given)}: refused") from stopped


def check_doc(words: list[str]) -> None:
    given = parsed(DocCLI, words)
    for name in given.args:
        short = name.removeprefix("multicluster.gloo.")
        folder = REPO / ("roles" if given.type == "role" else f"plugins/{given.type}")
        if not any(path.stem == short for path in (folder if folder.exists() else REPO / "plugins/modules").iterdir()):
            raise Wrong(f"no {given.type} {name}")


def check(command: str) -> None:
    """Raises Wrong for a command that does not exist or has arguments that it does not accept."""
    words = list(itertools.dropwhile(re.compile("[A-Z_]+=").match, shlex.split(command)))
    if len(words) == 1:
        return  # the name of a program
    match words[0]:
        case "make":
            check_make(words)
        case "ansible-playbook":
            check_play(words)
        case "ansible-doc":
            check_doc(words)
        case "ansible-inventory":
            parsed(InventoryCLI, words)
        case "python":
            check_lab(words)


def wrong_commands(text: str) -> Iterator[str]:
    for command in commands(text):
        try:
            check(command)
        except (Wrong, ValueError) as problem:
            yield f"{command}: {problem}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_exist(page: Path) -> None:
    assert list(wrong_commands(page.read_text())) == []


def test_commands_are_found() -> None:
    found = [command for page in PAGES for command in commands(page.read_text())]
    assert len(found) > 60
    assert {command.split()[0] for command in found} >= {"make", "ansible-playbook", "ansible-doc", "python"}


@pytest.mark.parametrize(
    "command",
    [
        "make sites",
        "make site INVENTRY=x",
        'make site ARGS="--tags gatway"',
        'make lab-up ARGS="--set roots=never"',
        "make lab-up SITE=nowhere",
        "ansible-playbook playbooks/nothing.yml",
        "ansible-playbook multicluster.gloo.nothing",
        "ansible-playbook playbooks/doctor.yml -e doctor_fails_on=never",
        "ansible-playbook playbooks/doctor.yml -e '{\"nothing\": 1}'",
        "ansible-playbook playbooks/site.yml --tags nothing",
        "ansible-playbook playbooks/site.yml --nothing",
        "ansible-doc multicluster.gloo.nothing",
        "ansible-doc -t role multicluster.gloo.objects",
        "python -m lab sit",
        "KUBECONFIG=x python -m lab up --nothing",
    ],
)
def test_a_wrong_command_is_found(command: str) -> None:
    assert list(wrong_commands(f"```\n{command}\n```\n"))
    assert list(wrong_commands(f"text `{command}` text"))


# -- variables --------------------------------------------------------------------------------------------------------

#: what has such a name without being a variable
MODULES = {path.stem for path in (REPO / "plugins/modules").glob("*.py")} | {
    path.stem for path in (REPO / "plugins/lookup").glob("*.py")
}
OWNERS = "mesh|bookinfo|gateway|routing|cleanup|report|doctor|failover|bundle|preflight|remove|site"
VARIABLE = re.compile(rf"\b(?:{OWNERS})_[a-z][a-z0-9_]*\b")
FACTS = set(re.findall(r"^\| `(\w+)`", (REPO / "docs/roles.md").read_text(), re.M))
#: keys of variables and facts
KEYS = {"gateway_api", "mesh_id"}
#: example of a name that causes a warning
MISSPELLED = {"mesh_namspace"}
AROUND = kinds.Surroundings(frozenset(["mgmt", "cluster1", "cluster2", "cluster3"]), lambda path: "", lambda path: "")


def unknown_variables(text: str) -> set[str]:
    code = inline(text) + [block.text for block in blocks(text)]
    found = {name for each in code for name in VARIABLE.findall(re.sub(r"mesh_\*\w*|\w+\.(yml|md|py)\b", "", each))}
    return found - set(KINDS) - MODULES - FACTS - KEYS - MISSPELLED - PLAYBOOKS


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables_exist(page: Path) -> None:
    assert unknown_variables(page.read_text()) == set()


@pytest.mark.parametrize("text", ["`mesh_nothing`", "```yaml\ngateway_nothing: 1\n```\n", "`-e doctor_nothing=1`"])
def test_an_unknown_variable_is_found(text: str) -> None:
    assert unknown_variables(text)


def assignments(value: Any) -> Iterator[tuple[str, Any]]:
    """Variables of the collection with the values that an example gives them, at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name in KINDS:
                yield name, each
            else:
                yield from assignments(each)
    elif isinstance(value, list):
        for each in value:
            yield from assignments(each)


def wrong_values(text: str) -> Iterable[str]:
    for block in blocks(text):
        if block.language in ("yaml", "yml"):
            for document in yaml.safe_load_all(block.text):
                for name, value in assignments(document):
                    if "{{" not in str(value) and "..." not in str(value):
                        yield from (str(each) for each in KINDS[name].problems(name, value, AROUND))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_examples_have_valid_values(page: Path) -> None:
    assert list(wrong_values(page.read_text())) == []


def test_an_invalid_value_in_an_example_is_found() -> None:
    assert list(wrong_values("```yaml\n- vars: {mesh_layers: {platfrom: use}}\n```\n"))
    examples = [block for page in PAGES for block in blocks(page.read_text()) if block.language == "yaml"]
    assert len([each for block in examples for each in assignments(yaml.safe_load(block.text))]) > 15


# -- facts in tables --------------------------------------------------------------------------------------------------


def rows(text: str, heading: str) -> list[list[str]]:
    """Cells of the tables below a heading, without marks of code, without headers."""
    section = re.split(rf"^#+ {heading}$", text, maxsplit=1, flags=re.M)[1]
    section = re.split(r"^#+ ", section, maxsplit=1, flags=re.M)[0]
    lines = [line.strip("|").replace("`", "") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines if not line.startswith("---")][1:]


def test_the_table_of_product_lines_is_that_of_the_code() -> None:
    _, *cells = rows((REPO / "docs/product_lines.md").read_text(), "Product lines of the gateway")
    told = {name: values for name, *values in cells}
    assert told["default version of the charts"] == [product.version for product in PRODUCTS]
    assert told["namespace"] == [product.namespace for product in PRODUCTS]
    assert told["controllerName"] == [product.controllers[0] for product in PRODUCTS]
    assert told["licence"][2] == "none" and not PRODUCTS[2].license_key
    assert [value == "yes" for value in told["image sds in its registry"]] == [each.has_sds for each in PRODUCTS]


def test_defaults_in_the_table_of_variables_are_those_of_the_roles() -> None:
    defaults = {
        name: value
        for path in (REPO / "roles").glob("*/defaults/main.yml")
        for name, value in yaml.safe_load(path.read_text()).items()
    }
    checked = 0
    for names, default, _ in rows((REPO / "docs/production.md").read_text(), "Variables to decide"):
        for name in re.findall(r"\w+", names):
            value = defaults.get(name)
            if isinstance(value, dict) and "version" in value:
                assert default == f"version {value['version']}", name
            elif isinstance(value, str) and value and "{{" not in value:
                assert default == value, name
            else:
                continue
            checked += 1
    assert checked >= 5


def test_messages_in_troubleshooting_are_those_of_the_code() -> None:
    folders = ("plugins", "roles", "playbooks")
    files = [path for folder in folders for path in (REPO / folder).rglob("*") if path.suffix in (".py", ".yml")]
    # Text that continues in the next line of the source.
    source = "\n".join(re.sub(r"\"\s*\n\s*f?\"|\s*\n\s*", " ", path.read_text()) for path in files)
    source = re.sub(r" +", " ", source)
    text = (REPO / "docs/troubleshooting.md").read_text()
    messages = [message for row in rows(text, "Runs of the playbooks") for message in re.findall(r"\*(.+?)\*", row[0])]
    assert len(messages) >= 4
    assert [part for message in messages for part in message.split(" ... ") if part not in source] == []
