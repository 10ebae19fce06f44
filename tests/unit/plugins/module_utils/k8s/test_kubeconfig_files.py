"""A kubeconfig of several files is read as kubectl reads KUBECONFIG; one that Ansible Vault encrypted is refused."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import BadKubeconfig
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.kubeconfig import (
    Access,
    context_alone,
    files_of,
    merged,
)

Json = dict[str, Any]


def _kubeconfig(name: str, server: str, **user: Any) -> Json:
    return {
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }


def _written(path: Path, content: Json | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def _joined(*paths: Path | str) -> str:
    return os.pathsep.join(map(str, paths))


def test_contexts_of_all_files_can_be_used(tmp_path: Path) -> None:
    one = _written(tmp_path / "one" / "config", _kubeconfig("a", "https://a.example", token="ta"))
    two = _written(tmp_path / "two" / "config", _kubeconfig("b", "https://b.example", token="tb"))
    for context, server in (("a", "https://a.example"), ("b", "https://b.example")):
        access = Access("east", _joined(one, two), context)
        assert (access.server, access.headers()) == (server, [("Authorization", f"Bearer t{context}")])


def test_a_missing_file_is_skipped_and_at_least_one_must_exist(tmp_path: Path) -> None:
    one = _written(tmp_path / "one", _kubeconfig("a", "https://a.example"))
    assert Access("east", _joined(tmp_path / "none", one, ""), "a").server == "https://a.example"
    with pytest.raises(BadKubeconfig, match=r"east: the kubeconfig .*/none does not exist"):
        Access("east", _joined(tmp_path / "none", tmp_path / "neither"), "a")


def test_the_first_entry_of_a_name_is_used_and_used_whole(tmp_path: Path) -> None:
    one = _written(tmp_path / "one", {"users": [{"name": "a", "user": {"token": "first"}}]})
    two = _written(tmp_path / "two", _kubeconfig("a", "https://a.example", **{"as": "someone"}))
    assert Access("east", _joined(one, two), "a").headers() == [("Authorization", "Bearer first")]


def test_relative_paths_belong_to_the_folder_of_their_file(tmp_path: Path) -> None:
    one = _written(tmp_path / "one" / "config", _kubeconfig("a", "https://a.example"))
    second = _kubeconfig("b", "https://b.example", tokenFile="token", exec={"command": "./login"})
    two = _written(tmp_path / "two" / "config", second)
    user = context_alone("east", _joined(one, two), "b")["users"][0]["user"]
    assert user["tokenFile"] == str(two.parent / "token")
    assert user["exec"]["command"] == str(two.parent / "login")


def test_every_part_may_begin_with_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files_of("~/a:~/b") == [tmp_path / "a", tmp_path / "b"]


def test_a_colon_in_the_name_of_one_file_is_no_separator(tmp_path: Path) -> None:
    odd = _written(tmp_path / "prod:eu", _kubeconfig("a", "https://a.example"))
    assert Access("east", str(odd), "a").server == "https://a.example"


def test_a_context_in_none_of_the_files_is_refused_with_those_that_exist(tmp_path: Path) -> None:
    one = _written(tmp_path / "one", _kubeconfig("a", "https://a.example"))
    two = _written(tmp_path / "two", _kubeconfig("b", "https://b.example"))
    with pytest.raises(BadKubeconfig, match=r"no context 'c' \(contexts: a, b\)"):
        Access("east", _joined(one, two), "c")


@pytest.mark.parametrize("content", ["[]", "text", "contexts: {a: b}", "contexts: [1, null]", "clusters: [{name: a}]"])
def test_a_file_of_another_shape_has_no_context(tmp_path: Path, content: str) -> None:
    odd = _written(tmp_path / "odd", content)
    with pytest.raises(BadKubeconfig, match="has no context 'a'"):
        Access("east", str(odd), "a")


@pytest.mark.parametrize("several", [False, True], ids=["one file", "one of several"])
def test_a_name_that_is_too_long_and_a_pipe_are_refused(tmp_path: Path, several: bool) -> None:
    """A pipe without a writer would be waited for without end."""
    os.mkfifo(tmp_path / "pipe")
    for path, says in ((tmp_path / ("x" * 300), "File name too long"), (tmp_path / "pipe", "it is a pipe")):
        with pytest.raises(BadKubeconfig, match=f"cannot be read: {says}"):
            Access("east", _joined(path, path) if several else str(path), "a")


def test_the_content_of_a_kubeconfig_in_place_of_a_path_is_not_shown(tmp_path: Path) -> None:
    content = base64.b64encode(yaml.safe_dump(_kubeconfig("a", "https://a.example", token="canary" * 50)).encode())
    with pytest.raises(BadKubeconfig, match=r"the kubeconfig of \d+ characters cannot be read: File name") as error:
        Access("east", content.decode(), "a")
    assert content.decode()[:20] not in error.value.msg


@pytest.mark.parametrize(
    "content",
    ["a: &a {b: *a}\n", "a: &a [x, x]\n" + "".join(f"b{n}: &a [*a, *a]\n" for n in range(30)), "[" * 5000],
    ids=["refers to itself", "grows", "deep"],
)
def test_a_file_that_would_never_end_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadKubeconfig, match=r"cannot be read: it(s YAML is too large| is not valid YAML)"):
        Access("east", str(_written(tmp_path / "odd", content)), "a")


@pytest.mark.parametrize("several", [False, True], ids=["one file", "one of several"])
def test_a_kubeconfig_encrypted_by_ansible_vault_is_named_as_such(tmp_path: Path, several: bool) -> None:
    vault = _written(tmp_path / "vault", "$ANSIBLE_VAULT;1.1;AES256\n33363965326261303234\n")
    plain = _written(tmp_path / "plain", _kubeconfig("a", "https://a.example"))
    with pytest.raises(BadKubeconfig) as refusal:
        Access("east", _joined(plain, vault) if several else str(vault), "a")
    assert f"east: the kubeconfig {vault} is encrypted by Ansible Vault" in refusal.value.msg
    assert "decrypted to a private file" in refusal.value.msg and "no context" not in refusal.value.msg


def test_values_encrypted_by_ansible_vault_are_named_as_such(tmp_path: Path) -> None:
    user = "{name: a, user: {token: !vault '$ANSIBLE_VAULT;1.1;AES256 3336'}}"
    vault = _written(tmp_path / "vault", f"contexts: []\nusers:\n- {user}\n")
    with pytest.raises(BadKubeconfig, match=r"has values encrypted by Ansible Vault and is not decrypted here"):
        Access("east", str(vault), "a")


_ROWS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=3)


@given(st.lists(_ROWS, max_size=4))
def test_an_entry_comes_from_the_first_file_that_has_it(files: list[list[tuple[str, int]]]) -> None:
    result = merged({"users": [{"name": name, "user": {"n": n}} for name, n in rows]} for rows in files)
    first: dict[str, int] = {}
    for rows in files:
        for name, n in rows:
            if name not in first:
                first[name] = n
    have: dict[str, int] = {}
    for row in result.get("users", []):
        have.setdefault(row["name"], row["user"]["n"])
    assert have == first
