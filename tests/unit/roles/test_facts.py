"""Facts of roles: each role reads only its own, documents what it publishes, uses placeholders only in check mode."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, nodes

REPO = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (REPO / "roles").iterdir() if path.is_dir())
#: Keywords whose text is an expression without braces.
EXPRESSIONS = {"when", "that", "failed_when", "changed_when", "until"}
OWNED = re.compile(rf"^_*({'|'.join(ROLES)})_")
JINJA = Environment()


@dataclass
class Role:
    """Every expression of a role with its file, what is registered or set, and what each variable is made of."""

    expressions: list[tuple[Path, nodes.Template]] = field(default_factory=list)
    registered: set[str] = field(default_factory=set)
    facts: dict[str, list[set[str]]] = field(default_factory=dict)
    defined: dict[str, set[str]] = field(default_factory=dict)
    options: set[str] = field(default_factory=set)

    def derived(self) -> set[str]:
        """Variables that depend on what a task found, over any number of steps."""
        found = self.registered | set(self.facts)
        while more := {name for name, used in self.defined.items() if used & found} - found:
            found |= more
        return found


def names(node: nodes.Node) -> set[str]:
    """Variables that an expression reads, also those of other hosts."""
    everything = [node, *node.find_all(nodes.Node)]
    found = {each.name for each in everything if isinstance(each, nodes.Name) and each.ctx == "load"}
    found |= {each.attr for each in everything if isinstance(each, nodes.Getattr) and "hostvars" in found}
    texts = {str(each.value) for each in everything if isinstance(each, nodes.Const)}
    return found | {each for each in texts if OWNED.match(each) or ("hostvars" in found and each.isidentifier())}


def parsed(value: Any, key: str = "") -> Iterator[nodes.Template]:
    """The expressions below a value of a YAML file."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from parsed(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from parsed(each, key)
    elif isinstance(value, str):
        if "{{" in value or "{%" in value:
            yield JINJA.parse(value)
        elif key in EXPRESSIONS:
            yield JINJA.parse(f"{{{{ {value} }}}}")


def tasks_of(content: Any) -> Iterator[dict[str, Any]]:
    for task in content:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks_of(task.get(part) or ())


def read(texts: Mapping[Path, str]) -> Role:
    """A role from its files."""
    role = Role()

    def define(variables: Mapping[str, Any]) -> None:
        for name, value in variables.items():
            role.defined.setdefault(name, set()).update(*(names(each) for each in parsed(value)))

    for path, text in texts.items():
        if path.suffix == ".j2":
            role.expressions.append((path, JINJA.parse(text)))
            continue
        content = yaml.safe_load(text)
        role.expressions += [(path, each) for each in parsed(content)]
        if path.parent.name in ("defaults", "vars"):
            define(content)
            role.options |= set(content) if path.parent.name == "defaults" else set()
        elif path.parent.name in ("tasks", "handlers"):
            for task in tasks_of(content):
                define(task.get("vars") or {})
                role.registered |= {task["register"]} if "register" in task else set()
                for name, value in (task.get("ansible.builtin.set_fact") or {}).items():
                    role.facts.setdefault(name, []).append(set(value) if isinstance(value, dict) else set())
    return role


def files(role: str) -> dict[Path, str]:
    folders = ("defaults", "vars", "tasks", "handlers", "templates")
    paths = [path for folder in folders for path in sorted((REPO / "roles" / role / folder).rglob("*"))]
    return {path: path.read_text() for path in paths if path.suffix in (".yml", ".j2")}


# -- whose variables


def foreign(name: str, role: Role) -> set[str]:
    """Variables of other roles that a role reads or sets."""
    used = {each for _path, expression in role.expressions for each in names(expression)}
    used |= role.registered | set(role.facts) | set(role.defined)
    return {each for each in used if (owner := OWNED.match(each)) and owner[1] != name}


@pytest.mark.parametrize("name", ROLES)
def test_a_role_reads_and_sets_its_own_variables_only(name: str) -> None:
    assert foreign(name, read(files(name))) == set()


@pytest.mark.parametrize(
    "text",
    [
        "- {when: mesh_namespace is defined}",
        "- {when: [ansible_check_mode, not __mesh_found]}",
        "- debug: {msg: '{{ __mesh_found.objects }}'}",
        "- debug: {msg: '{{ hostvars[host].mesh_result }}'}",
        "- debug: {msg: '{{ hostvars[host][\"mesh_result\"] }}'}",
        '- debug: {msg: \'{{ hosts | map("extract", hostvars, ["__mesh_found", "objects"]) }}\'}',
        "- {block: [{vars: {mesh_namespace: a}}]}",
        "- {register: __mesh_found}",
        "- ansible.builtin.set_fact: {mesh_result: {}}",
    ],
)
def test_any_way_to_another_roles_variable_is_found(text: str) -> None:
    role = read({Path("roles/gateway/tasks/main.yml"): text})
    assert foreign("gateway", role) & {"mesh_namespace", "__mesh_found", "mesh_result"}
    assert foreign("mesh", role) == set()


@pytest.mark.parametrize("folder", ["playbooks", "plugins"])
def test_playbooks_and_plugins_know_no_private_variable_of_a_role(folder: str) -> None:
    private = re.compile(rf"\b__({'|'.join(ROLES)})_\w+")
    paths = [path for path in (REPO / folder).rglob("*") if path.suffix in (".yml", ".j2", ".py")]
    found = {str(path.relative_to(REPO)): private.findall(path.read_text()) for path in paths}
    assert paths and {path: uses for path, uses in found.items() if uses} == {}


# -- results


def test_every_published_fact_is_documented_with_its_fields() -> None:
    overview = (REPO / "docs" / "roles.md").read_text()
    published = 0
    for name in ROLES:
        readme = (REPO / "roles" / name / "README.md").read_text()
        for fact, variants in read(files(name)).facts.items():
            if fact.startswith("_"):
                continue
            published += 1
            rows = [line for line in overview.splitlines() if line.startswith(f"| `{fact}`")]
            assert len(rows) == len(variants), fact
            assert f"`{fact}`" in readme, (name, fact)
            for fields in variants:
                assert any(all(f"`{each}`" in row for each in fields) for row in rows), (fact, fields)
                assert all(f"`{each}`" in readme for each in fields), (name, fields)
    assert published >= 3


# -- check mode


def is_empty(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Name):
        return node.name == "omit"
    if isinstance(node, nodes.List | nodes.Dict):
        return not node.items
    return isinstance(node, nodes.Const) and not node.value


def guesses(node: nodes.Node, derived: Iterable[str]) -> Iterator[nodes.Node]:
    """Values that replace what a task did not find, except where ansible_check_mode alone chooses them."""
    found = set(derived)
    if isinstance(node, nodes.CondExpr):
        reverse = isinstance(node.test, nodes.Not)
        test = node.test.node if isinstance(node.test, nodes.Not) else node.test
        by_mode = isinstance(test, nodes.Name) and test.name == "ansible_check_mode"
        parts = [node.test, node.expr1, node.expr2]
        if by_mode:
            parts = [node.expr1 if reverse else node.expr2]
        for part in parts:
            if part is not None:
                yield from guesses(part, found)
        return
    fallback: nodes.Node | None = None
    if isinstance(node, nodes.Or) and names(node.left) & found:
        fallback = node.right
    elif isinstance(node, nodes.Filter) and node.name in ("default", "d") and node.args and node.node:
        fallback = node.args[0] if names(node.node) & found else None
    if fallback is not None and guessed(fallback, found):
        yield fallback
    for child in node.iter_child_nodes():
        yield from guesses(child, found)


def guessed(node: nodes.Node, derived: set[str]) -> bool:
    """Whether a fallback is a value of its own, neither empty nor found by a task."""
    if isinstance(node, nodes.CondExpr):
        if isinstance(node.test, nodes.Name) and node.test.name == "ansible_check_mode":
            return node.expr2 is not None and guessed(node.expr2, derived)
        return guessed(node.expr1, derived) or (node.expr2 is not None and guessed(node.expr2, derived))
    if isinstance(node, nodes.And | nodes.Or):  # alternatives, or a condition
        return guessed(node.left, derived) or guessed(node.right, derived)
    if isinstance(node, nodes.Compare | nodes.Not | nodes.Test):
        return False
    return not is_empty(node) and not names(node) & derived


def unguarded(role: Role) -> list[str]:
    """Guesses of the role. An option of the user is a choice, unless it is for check mode (planned)."""
    choices = {name for name in role.options if "_planned_" not in name}
    derived = role.derived()
    return [
        f"{path.name}: {guess}"
        for path, expression in role.expressions
        if path.parent.name != "defaults"
        for guess in guesses(expression, derived)
        if not (isinstance(guess, nodes.Name) and guess.name in choices)
    ]


@pytest.mark.parametrize("name", ROLES)
def test_what_was_not_found_is_replaced_in_check_mode_only(name: str) -> None:
    assert unguarded(read(files(name))) == []


@pytest.mark.parametrize(
    ("expression", "guess"),
    [
        ("__r_found.revision | default('gloo')", True),
        ("__r_found.revision | default('gloo', true)", True),
        ("(__r_found.istiod | default({}, true)).revision | default('gloo', true)", True),
        ("__r_found.istiod | default(r_predicted, true)", True),
        ("__r_found.istiod or r_predicted", True),
        ("__r_found.istiod or r_planned_istiod", True),
        ("__r_found.mode | default(r_mode)", False),
        ("r_class or __r_indirect or (r_names | first)", True),
        ("hostvars[r_host].r_result.address | default('unknown')", True),
        ("hostvars[r_host]['r_result'] | default('unknown')", True),
        ("hostvars[r_host].r_name | default(r_host)", False),
        ("(__r_found.x | default('a')) if r_wanted else ''", True),
        ("'unknown' if not ansible_check_mode else __r_found.x", False),
        ("__r_found.x or ('unknown' if ansible_check_mode else '')", False),
        ("__r_found.x or ('unknown' if ansible_check_mode else 'guess')", True),
        ("__r_found.x or ('unknown' if ansible_check_mode or r_wanted else '')", True),
        ("__r_found.x if not ansible_check_mode else __r_found.x | default('unknown')", False),
        ("__r_found.objects | default([]) | map(attribute='x') | first | default('')", False),
        ("__r_found.x | default(omit, true)", False),
        ("r_address or __r_found.address", False),
        ("__r_found.x or __r_indirect", False),
        ("r_mode | default('fail')", False),
    ],
)
def test_any_unguarded_guess_is_found(expression: str, guess: bool) -> None:
    tasks: list[dict[str, Any]] = [{"register": "__r_found"}, {"ansible.builtin.set_fact": {"r_result": {}}}]
    tasks.append({"debug": {"msg": f"{{{{ {expression} }}}}"}})
    role = read(
        {
            Path("vars/main.yml"): "__r_indirect: '{{ __r_more }}'\n__r_more: '{{ __r_found.y }}'\nr_predicted: {a: b}",
            Path("defaults/main.yml"): "{r_mode: fail, r_planned_istiod: {}}",
            Path("tasks/main.yml"): yaml.safe_dump(tasks),
        }
    )
    assert bool(unguarded(role)) is guess


@pytest.mark.slow
@pytest.mark.parametrize("task", ["Install the CRDs and the management server", "Install Istio"])
def test_a_run_that_starts_in_the_middle_is_refused(tmp_path: Path, task: str) -> None:
    """What exists in the clusters was not read. No cluster is asked: the kubeconfig does not exist."""
    site = {
        "all": {"vars": {"kubeconfig": str(tmp_path / "none"), "kube_context": "none", "ansible_connection": "local"}},
        "management": {"hosts": {"mgmt": {}}},
        "workload": {"hosts": {"east": {}}},
    }
    play = [{"hosts": "management:workload", "gather_facts": False, "roles": ["multicluster.gloo.mesh"]}]
    for name, content in (("site.yml", site), ("play.yml", play)):
        (tmp_path / name).write_text(yaml.safe_dump(content))
    collections = {"ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"), "ANSIBLE_HOME": str(tmp_path)}
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [program, "-i", "site.yml", "play.yml", "--start-at-task", task],
        env={**os.environ, **collections},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    shown = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2, shown
    assert "The layers of the clusters are not known: tasks of the role were skipped" in shown


#: Text in place of a value that is not known yet.
STAND_IN = re.compile(r"(not|un)-?known|known-after|check-mode|preflight|placeholder|dummy|tbd", re.IGNORECASE)


def stand_ins(variables: Mapping[str, Any]) -> set[str]:
    """Variables whose value contains a stand-in."""
    return {
        name
        for name, value in variables.items()
        for expression in parsed(value)
        for text in expression.find_all((nodes.Const, nodes.TemplateData))
        if STAND_IN.search(str(getattr(text, "value", getattr(text, "data", ""))))
    }


@pytest.mark.parametrize("name", ROLES)
def test_placeholders_are_used_in_checks_only(name: str) -> None:
    """No task and no template contains one, and only the option check_values of helm_release reads such a variable."""
    texts = files(name)
    for path, text in texts.items():
        content = yaml.safe_load(text) if path.suffix == ".yml" else None
        if path.parent.name in ("vars", "defaults"):
            for variable in stand_ins(content or {}):
                assert variable.endswith("_check_values"), (path, variable)
        elif path.parent.name == "tasks":
            for task in tasks_of(content):
                values = {key: value for key, value in task.items() if key not in ("name", "block")}
                messages = ("ansible.builtin.assert", "ansible.builtin.debug", "ansible.builtin.fail")
                assert not any(map(stand_ins, [{k: v} for k, v in values.items() if k not in messages])), (path, task)
    uses = re.compile(r"[^\n]*\b__\w+_check_values\b[^\n]*")
    for path, text in texts.items():
        for line in uses.findall(text):
            assert re.match(r"\s*check_values: |__\w+_check_values:", line), (path, line)


@pytest.mark.parametrize("name", ROLES)
def test_no_task_writes_in_check_mode(name: str) -> None:
    """There the values that a check uses would be written."""
    for path, text in files(name).items():
        if path.parent.name == "tasks":
            assert not [task for task in tasks_of(yaml.safe_load(text)) if task.get("check_mode") is not None], path


def test_a_placeholder_is_found() -> None:
    assert stand_ins({"a": "{{ x or 'unknown-in-check-mode:9900' }}", "b": "{{ y | default('not-known') }}"}) == {
        "a",
        "b",
    }
    assert stand_ins({"a": {"b": ["{{ 'known-after-installation:4317' if z else '' }}"]}, "c": "{{ x }}"}) == {"a"}
