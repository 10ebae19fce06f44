"""Manifests from files and directories."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError

from ansible_collections.multicluster.gloo.plugins.lookup import manifests

TWO = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
---
---
{apiVersion: v1, kind: Secret, metadata: {name: b}}
"""


def kinds(term: Path) -> list[str]:
    return [each["kind"] for source, text in manifests.texts(str(term)) for each in manifests.objects(source, text)]


def test_a_file_with_several_documents(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(TWO)
    assert kinds(file) == ["ConfigMap", "Secret"]


def test_a_directory_in_the_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text(TWO)
    (tmp_path / "a.yaml").write_text("{apiVersion: v1, kind: Namespace, metadata: {name: n}}")
    (tmp_path / "README.md").write_text("no: manifest")
    assert kinds(tmp_path) == ["Namespace", "ConfigMap", "Secret"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("a: [", "invalid YAML"), ("- 1", "has no apiVersion or kind"), ("kind: x", "has no apiVersion or kind")],
)
def test_something_else_is_refused_by_name(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(AnsibleError, match=told) as refused:
        kinds(file)
    assert "bad.yaml" in str(refused.value)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"none\.yaml: cannot be read"):
        kinds(tmp_path / "none.yaml")
    with pytest.raises(AnsibleError, match="has no"):
        kinds(tmp_path)
