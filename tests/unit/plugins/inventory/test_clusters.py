"""The inventory plugin clusters: hosts from contexts and from registered clusters, groups, variables, cache, errors."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants as C
from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.doc_fragments import constructed, inventory_cache
from ansible.template import is_trusted_as_template

from ansible_collections.multicluster.gloo.plugins.inventory import clusters
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.kubeconfig import Access
from ansible_collections.multicluster.gloo.plugins.plugin_utils.cluster_hosts import OPTIONS, check_options

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[4]
NAME = "multicluster.gloo.clusters"
ADMIN = "admin.gloo.solo.io/v2"
TOKEN = "token-of-the-user"
EXAMPLES = list(yaml.safe_load_all(clusters.EXAMPLES))


def _definitions() -> Json:
    """The options of the plugin, as the plugin loader registers them."""
    options: Json = {}
    for documentation in (
        constructed.ModuleDocFragment.DOCUMENTATION,
        inventory_cache.ModuleDocFragment.DOCUMENTATION,
        clusters.DOCUMENTATION,
    ):
        for name, option in yaml.safe_load(documentation)["options"].items():
            options[name] = {**options.get(name, {}), **option}
    return options


DEFINITIONS = _definitions()


class Inventory:
    """What a configuration gave. ``warnings``: those that were displayed."""

    def __init__(self, config: Json | str, folder: Path, cache: bool = True, data: Any = None) -> None:
        C.config.initialize_plugin_configuration_definitions("inventory", NAME, DEFINITIONS)
        plugin = clusters.InventoryModule()
        plugin._load_name = plugin.ansible_name = NAME
        plugin._redirected_names = [NAME]
        self.warnings: list[str] = []
        plugin.display = type("Display", (), {"warning": lambda _self, text: self.warnings.append(text)})()
        path = folder / "clusters.gloo.yml"
        path.write_text(config if isinstance(config, str) else yaml.safe_dump({"plugin": NAME, **config}))
        self._data = data or InventoryData()
        assert plugin.verify_file(str(path))
        plugin.parse(self._data, DataLoader(), str(path), cache=cache)
        if plugin.get_option("cache"):
            plugin.update_cache_if_changed()
        of_ansible = {
            "inventory_file",
            "inventory_dir",
            "inventory_hostname",
            "inventory_hostname_short",
            "group_names",
        }
        self.hosts: Json = {
            name: {key: value for key, value in host.get_vars().items() if key not in of_ansible}
            for name, host in self._data.hosts.items()
        }

    def __getitem__(self, group: str) -> list[str]:
        return [host.name for host in self._data.groups[group].get_hosts()]

    def of(self, variable: str) -> Json:
        return {name: variables[variable] for name, variables in self.hosts.items() if variable in variables}


def kubeconfig(*contexts: str, server: str = "https://127.0.0.1:1") -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in contexts],
    }


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Inventory]:
    """``made(config, file=content)``: the inventory of a configuration beside these kubeconfigs."""
    for name in ("KUBECONFIG", "ANSIBLE_INVENTORY_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def make(given: Json | str, /, cache: bool = True, **files: Json | str) -> Inventory:
        for name, content in files.items():
            (tmp_path / name).write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return Inventory(given, tmp_path, cache)

    return make


def refusal(made: Callable[..., Inventory], given: Json | str, /, **files: Json | str) -> str:
    with pytest.raises(AnsibleError) as refused:
        made(given, **files)
    assert TOKEN not in str(refused.value)
    return str(refused.value)


# -- contexts


def test_contexts_become_hosts_with_the_variables_of_the_playbooks(made: Any, tmp_path: Path) -> None:
    found = made(
        {
            "kubeconfig": "config",
            "contexts": ["mgmt", "cluster*"],
            "management": "mgmt",
            "workload": ["cluster*"],
            "gateway": ["cluster2", "cluster1"],
            "cluster_uids": {"cluster1": "3c0de8b5"},
        },
        config=kubeconfig("minikube", "cluster1", "mgmt", "cluster2"),
    )
    assert (found["management"], found["workload"]) == (["mgmt"], ["cluster1", "cluster2"])
    assert found["gateway"] == ["cluster1", "cluster2"]
    own = {"kubeconfig": str(tmp_path / "config"), "ansible_connection": "local"}
    own["ansible_python_interpreter"] = "{{ ansible_playbook_python }}"
    assert found.hosts == {
        "cluster1": {**own, "kube_context": "cluster1", "cluster_uid": "3c0de8b5"},
        "mgmt": {**own, "kube_context": "mgmt"},
        "cluster2": {**own, "kube_context": "cluster2"},
    }
    assert is_trusted_as_template(found.hosts["mgmt"]["ansible_python_interpreter"])


def test_the_groups_of_the_playbooks_always_exist(made: Any) -> None:
    found = made({"kubeconfig": "config"}, config=kubeconfig("a", "b"))
    assert [found[group] for group in ("management", "workload", "gateway")] == [[], [], []]
    assert list(found.hosts) == ["a", "b"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([{"pattern": "gke_*", "name": "one"}], {"one": "gke_shop_eu_one-1"}),
        ([r"~(?!gke).*[a-z]"], {"admin": "admin"}),
        ([{"pattern": r"~gke_([^_]+)_.*_(.*)", "name": r"\1-\2"}], {"shop-one-1": "gke_shop_eu_one-1"}),
        (
            [{"pattern": r"~gke_.*_(?P<last>.*)", "name": r"\g<last>"}, "ad*"],
            {"one-1": "gke_shop_eu_one-1", "admin": "admin"},
        ),
        (["a[c-e]min", {"pattern": "admin", "name": "not-the-first"}], {"admin": "admin"}),
        ("admin", {"admin": "admin"}),
    ],
)
def test_the_first_rule_that_matches_a_context_names_its_host(made: Any, rules: Any, expected: Json) -> None:
    found = made({"kubeconfig": "config", "contexts": rules}, config=kubeconfig("gke_shop_eu_one-1", "admin"))
    assert found.of("kube_context") == expected


def test_several_kubeconfigs_are_a_list_or_a_path_as_in_the_environment(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"one": kubeconfig("a", "shared"), "two": kubeconfig("b", "shared")}
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    found = made({"kubeconfig": ["one", two], "contexts": ["a", "b"]}, **files)
    assert found.of("kubeconfig") == {"a": one, "b": two}
    both = os.pathsep.join([one, two])
    expected = {"a": both, "b": both, "shared": both}
    assert made({"kubeconfig": f"one{os.pathsep}two"}).of("kubeconfig") == expected
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", f"one{os.pathsep}{two}")
    assert made({}).of("kubeconfig") == expected
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".kube").mkdir()
    (tmp_path / "one").rename(tmp_path / ".kube" / "config")
    assert made({}).of("kubeconfig")["a"] == str(tmp_path / ".kube" / "config")
    monkeypatch.setenv("KUBECONFIG", "")
    assert made({}).of("kubeconfig")["a"] == str(tmp_path / ".kube" / "config")


@pytest.mark.parametrize("given", [dict, json.dumps, yaml.safe_dump])
def test_content_of_a_kubeconfig_is_kept_in_a_file_of_this_process(made: Any, tmp_path: Path, given: Any) -> None:
    content = kubeconfig("a", "b")
    content["users"].append({"name": "from file", "user": {"tokenFile": "token"}})
    content["contexts"].append({"name": "c", "context": {"cluster": "c", "user": "from file"}})
    (tmp_path / "token").write_text("other-token")
    found = made({"kubeconfig": given(content)}).hosts["a"]["kubeconfig"]
    assert TOKEN not in found and Path(found).stat().st_mode & 0o077 == 0
    # Another process of the same user reads it as well.
    assert TOKEN in subprocess.run(["cat", found], capture_output=True, text=True, check=True).stdout
    assert Access("a", found, "b").headers() == [("Authorization", f"Bearer {TOKEN}")]
    assert Access("c", found, "c").headers() == [("Authorization", "Bearer other-token")]


# -- text of others


HOSTILE = "{{ lookup('ansible.builtin.env', 'HOME') }}"


def test_names_of_contexts_are_no_templates(made: Any) -> None:
    found = made(
        {"kubeconfig": "config", "contexts": [{"pattern": "*", "name": "a"}], "compose": {"copied": "kube_context"}},
        config=kubeconfig(HOSTILE),
    )
    for variable in ("kube_context", "copied"):
        value = found.hosts["a"][variable]
        assert value == HOSTILE and not is_trusted_as_template(value)


@pytest.mark.parametrize(
    "names",
    [["{{ x }}"], ["a b"], ["-a"], ["A"], ["a_b"], ["arn:aws:eks:eu:1:cluster/x"], ["1e5"], ["x" * 254], ["\x1b[31mx"]],
)
def test_a_name_that_no_cluster_can_have_is_refused(made: Any, names: list[str]) -> None:
    said = refusal(made, {"kubeconfig": "config"}, config=kubeconfig("fine", *names))
    assert "gives the host name" in said and "Set contexts with pattern and name" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("name", ["all", "ungrouped", "management", "workload", "gateway"])
def test_a_name_of_a_group_is_refused(made: Any, name: str) -> None:
    assert "a group of this name" in refusal(made, {"kubeconfig": "config"}, config=kubeconfig(name))


def test_two_contexts_with_the_same_name_are_refused_and_both_named(made: Any, tmp_path: Path) -> None:
    files = {"one": kubeconfig("a"), "two": kubeconfig("a")}
    said = refusal(made, {"kubeconfig": ["one", "two"]}, **files)
    assert f"context 'a' of {tmp_path / 'one'} and context 'a' of {tmp_path / 'two'} give the same name" in said
    rules = [{"pattern": "~([a-z]).*", "name": r"\1"}]
    said = refusal(made, {"kubeconfig": "config", "contexts": rules}, config=kubeconfig("a1", "b1", "a2"))
    assert said.startswith("a: context 'a1' of ") and "context 'a2' of" in said


# -- wrong options


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kubeconfig": []}, "kubeconfig"),
        ({"kubeconfig": [1]}, "kubeconfig"),
        ({"kubeconfig": ["", "config"]}, "kubeconfig"),
        ({"kubeconfig": None}, "kubeconfig"),
        ({"kubeconfig": "{{ '' }}"}, "kubeconfig"),
        ({"kubeconfig": {"users": [{"name": "u", "user": {"token": TOKEN}}]}}, "contexts: no context matches"),
        ({"kubeconfig": f"a: [\n{TOKEN}"}, "kubeconfig: its content cannot be read"),
        ({"kubeconfig": "none"}, "none does not exist. Correct the path"),
        ({"contexts": None}, "contexts is null"),
        ({"contexts": []}, "contexts is an empty list"),
        ({"contexts": [1]}, "contexts[0]"),
        ({"contexts": ["a", "~("]}, "contexts[1] is '~('"),
        ({"contexts": [{"name": "x"}]}, "contexts[0].pattern is missing"),
        ({"contexts": [{"pattern": "a", "nam": "x"}]}, "contexts[0].nam"),
        ({"contexts": [{"pattern": "a", "name": r"\1"}]}, r"contexts[0].name is '\1'"),
        ({"contexts": [{"pattern": "~(a)", "name": r"\g<no>"}]}, "contexts[0].name"),
        ({"contexts": ["none*"]}, "contexts: no context matches (contexts: a, b)"),
        ({"contexts": {"a": "b"}}, "contexts"),
        ({"management": "aa"}, "management[0] is 'aa': there is no such host (hosts: a, b)"),
        ({"workload": ["a", "~["]}, "workload[1]"),
        ({"gateway": ["a", "c"]}, "gateway[1] is 'c'"),
        ({"gateway": {"a": 1}}, "gateway"),
        ({"cluster_uids": {"c": "x"}}, "cluster_uids has 'c'"),
        ({"cluster_uids": {"a": 12}}, "cluster_uids.a is 12"),
        ({"cluster_uids": ["a"]}, "cluster_uids"),
        ({"management_context": "c"}, "management_context is 'c': no kubeconfig has this context (contexts: a, b)"),
        ({"management_context": "a", "contexts": ["b"]}, "management_context is 'a': no entry of contexts matches it"),
        ({"management_context": ["a"]}, "management_context"),
        ({"management_namespace": "Gloo_Mesh"}, "management_namespace is 'Gloo_Mesh'"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": "soon"}, "timeout"),
        ({"workloads": ["a"]}, "'workloads' is not an option: the plugin has none of this name. Use workload"),
        ({"keyed_group": []}, "'keyed_group' is not an option: the plugin has none of this name. Use keyed_groups"),
        ({"strict": True, "compose": {"x": "nothing"}}, "x for host a"),
        ({"strict": True, "groups": {"x": "nothing"}}, "to group x"),
        ({"strict": True, "keyed_groups": [{"key": "nothing"}]}, "nothing entry"),
    ],
)
def test_a_wrong_option_is_refused_and_named(made: Any, options: Json, named: str) -> None:
    said = refusal(made, {"kubeconfig": "config", **options}, config=kubeconfig("a", "b"))
    assert named in said, said


def test_after_an_error_no_host_is_in_a_group_of_the_playbooks(tmp_path: Path) -> None:
    data = InventoryData()
    (tmp_path / "config").write_text(json.dumps(kubeconfig("a", "b")))
    wrong = {"strict": True, "compose": {"cluster_uid": "'x' if kube_context == 'a' else nothing"}}
    with pytest.raises(AnsibleError, match="cluster_uid for host b"):
        Inventory({"kubeconfig": "config", "management": "a", "workload": "b", **wrong}, tmp_path, data=data)
    assert not any(data.groups[group].get_hosts() for group in ("management", "workload", "gateway"))


def test_a_pattern_may_match_no_host(made: Any) -> None:
    found = made(
        {"kubeconfig": "config", "workload": ["eu-*", "~us.*"], "gateway": "?"}, config=kubeconfig("eu-1", "a")
    )
    assert (found["workload"], found["gateway"]) == (["eu-1"], ["a"])


@pytest.mark.parametrize("content", ["a: [", f"$ANSIBLE_VAULT;1.1;AES256\n{TOKEN}", "\xff", f"{TOKEN}: !!int x"])
def test_a_kubeconfig_that_cannot_be_read_is_named(made: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "config").write_bytes(content.encode("latin-1"))
    said = refusal(made, {"kubeconfig": ["fine", "config"]}, fine=kubeconfig("a"))
    assert f"kubeconfig: the kubeconfig {tmp_path / 'config'}" in said


@pytest.mark.parametrize(
    ("name", "expected"),
    [("gloo.yml", True), ("my.gloo.yaml", True), ("my-gloo.yml", True), ("clusters.yml", False), ("gloo.json", False)],
)
def test_the_name_of_the_file(tmp_path: Path, name: str, expected: bool) -> None:
    (tmp_path / name).write_text(f"plugin: {NAME}\n")
    assert clusters.InventoryModule().verify_file(str(tmp_path / name)) is expected
    assert not clusters.InventoryModule().verify_file(str(tmp_path / "none.gloo.yml"))


# -- registered clusters


def register(api: Any, *names: str, namespace: str = "gloo-mesh", **labels: str) -> None:
    api.kinds.setdefault(ADMIN, {"kubernetesclusters": ("KubernetesCluster", True)})
    for name in names:
        annotations = {"multicluster.gloo/cluster-uid": f"uid-of-{name}"}
        api.write(
            ADMIN,
            "kubernetesclusters",
            namespace,
            {"metadata": {"name": name, "labels": {"region": name[:2], **labels}, "annotations": annotations}},
        )


@pytest.fixture
def management(serving: Any, made: Any, tmp_path: Path) -> Any:
    """(the API server of the management cluster, ``made(config)`` with contexts mgmt, cluster1, cluster2, spare)."""
    with serving(tmp_path, "mgmt", "cluster1", "cluster2", "spare") as (api, path):
        api.kinds[ADMIN] = {"kubernetesclusters": ("KubernetesCluster", True)}
        yield (
            api,
            lambda config, **options: made({"kubeconfig": path, "management_context": "mgmt", **config}, **options),
        )


def test_registered_clusters_with_a_context_become_hosts(management: Any) -> None:
    api, made = management
    register(api, "cluster2", "cluster1")
    register(api, "spare", namespace="elsewhere")
    found = made({"gateway": "cluster2"})
    assert list(found.hosts) == ["mgmt", "cluster1", "cluster2"]
    assert (found["management"], found["workload"], found["gateway"]) == (
        ["mgmt"],
        ["cluster1", "cluster2"],
        ["cluster2"],
    )
    assert found.of("cluster_uid") == {}
    assert made({"management_namespace": "elsewhere"})["workload"] == ["spare"]
    assert made({"workload": ["cluster1"], "management": []})["management"] == []
    assert api.writes() == []


def test_a_registered_cluster_without_a_context_is_left_out_and_named(management: Any) -> None:
    api, made = management
    register(api, "cluster1", "cluster9", "\x1b[31m" + HOSTILE)
    found = made({})
    assert list(found.hosts) == ["mgmt", "cluster1"]
    assert len(found.warnings) == 1
    assert "cluster9" in found.warnings[0] and "no context has this name" in found.warnings[0]
    assert "\x1b" not in found.warnings[0]


def test_a_rule_gives_a_context_the_name_of_a_registered_cluster(management: Any) -> None:
    api, made = management
    register(api, "eu1", "mgmt")
    found = made({"contexts": ["mgmt", {"pattern": "cluster1", "name": "eu1"}, "*"]})
    assert found.of("kube_context") == {"mgmt": "mgmt", "eu1": "cluster1"}
    assert (found["management"], found["workload"]) == (["mgmt"], ["eu1"]), (
        "the management cluster is no workload cluster"
    )


def test_two_contexts_for_one_registered_cluster_are_refused(management: Any) -> None:
    api, made = management
    register(api, "cluster1")
    said = refusal(made, {"contexts": [{"pattern": "cluster*", "name": "cluster1"}, "*"]})
    assert "context 'cluster1'" in said and "context 'cluster2'" in said


def test_labels_and_recorded_uids_can_be_used_in_expressions(management: Any) -> None:
    api, made = management
    register(api, "cluster1", "cluster2", stage=HOSTILE)
    found = made(
        {
            "compose": {"cluster_uid": "registration.uid or omit", "stage": "registration.labels.stage"},
            "groups": {"first": "registration.name == 'cluster1'"},
            "keyed_groups": [
                {"key": "registration.labels.region", "prefix": "region"},
                {"key": "registration.labels.stage"},
            ],
        }
    )
    assert found.of("cluster_uid") == {"cluster1": "uid-of-cluster1", "cluster2": "uid-of-cluster2"}
    assert found.hosts["cluster1"]["stage"] == HOSTILE
    assert (found["first"], found["region_cl"]) == (["cluster1"], ["cluster1", "cluster2"])
    assert not any("registration" in variables for variables in found.hosts.values())
    safe = [name for name in found._data.groups if name.startswith("_")]
    assert len(safe) == 1 and safe[0].replace("_", "").isalnum()


def test_none_is_registered(management: Any) -> None:
    _api, made = management
    assert "mgmt: KubernetesCluster in gloo-mesh: there is none" in refusal(made, {})


def test_what_the_management_cluster_refuses_is_named(management: Any) -> None:
    api, made = management
    status = {"reason": "Forbidden", "message": "no"}
    api.refuse("GET", "kubernetesclusters", 403, status, times=9)
    assert refusal(made, {}).startswith("mgmt: ")
    del api.kinds[ADMIN]
    api.refusals.clear()
    assert "KubernetesCluster" in refusal(made, {})


def test_a_management_cluster_that_cannot_be_reached_is_an_error(made: Any) -> None:
    said = refusal(made, {"kubeconfig": "config", "management_context": "m", "timeout": 1}, config=kubeconfig("m"))
    assert said.startswith("m: ") and "https://127.0.0.1:1" in said


def test_a_management_cluster_that_does_not_respond_is_an_error_after_the_timeout(made: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        content = kubeconfig("m", server=f"http://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        said = refusal(made, {"kubeconfig": "config", "management_context": "m", "timeout": 1}, config=content)
    assert said.startswith("m: ")
    assert time.monotonic() - begin < 20, "an attempt without this limit lasts 30 seconds"


# -- cache


def test_the_cache_has_registrations_and_nothing_of_a_kubeconfig(management: Any, tmp_path: Path) -> None:
    api, made = management
    register(api, "cluster1", "cluster2")
    folder = tmp_path / "cached"
    config = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(folder)}
    config |= {"keyed_groups": [{"key": "registration.labels.region", "prefix": "region"}]}
    first = made(config)
    (file,) = folder.iterdir()
    assert "played-token" not in file.read_text() and "127.0.0.1" not in file.read_text()
    requests = len(api.log)
    register(api, "spare")
    second = made(config)
    assert len(api.log) == requests, "the second run sends no request"
    assert (second.hosts, second["region_cl"]) == (first.hosts, first["region_cl"])
    assert "spare" in made(config, cache=False).hosts
    assert "spare" in made(config).hosts, "the cache was refreshed"
    assert "spare" not in made({**config, "contexts": ["mgmt", "cluster*"]}).hosts, "rules are no part of the cache"
    with pytest.raises(AnsibleError, match="elsewhere"):
        made({**config, "management_namespace": "elsewhere"})
    for damaged in ('"x"', "[1]", "[]", '[{"name": 1, "labels": []}, null]', "{}"):
        file.write_text(json.dumps({"__payload__": damaged}))
        assert list(made(config).hosts) == ["mgmt", "cluster1", "cluster2", "spare"]


# -- documentation, and as Ansible runs it


def test_every_option_is_documented_and_checked() -> None:
    documented = yaml.safe_load(clusters.DOCUMENTATION)["options"]
    assert set(documented) - {"plugin", "compose"} == set(OPTIONS)


def test_the_configurations_of_the_guide_are_valid(made: Any) -> None:
    text = (REPO / "docs" / "inventory.md").read_text()
    found = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    assert len(found) == 5 and all(each["plugin"] == NAME for each in found)
    for each in found:
        check_options(each, DEFINITIONS)
    gke, cluster = "gke_shop_europe-west1-b_cluster1", found[1]["contexts"][1]["pattern"]
    named = made({"kubeconfig": "config", **found[1]}, config=kubeconfig(gke, cluster))
    assert (named["management"], named["workload"]) == (["mgmt"], ["cluster1"])


def run(folder: Path, program: str, *words: str, **environment: str) -> str:
    """Output of a program of Ansible."""
    variables = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(folder / "home"),
        **environment,
    }
    command = [str(Path(sys.executable).with_name(program)), *words]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_give_the_groups_that_they_describe(management: Any, tmp_path: Path) -> None:
    api, _made = management
    register(api, "cluster1", "cluster2", stage="canary")
    hub, workloads = (
        kubeconfig("hub"),
        kubeconfig(*(f"admin@{name}.example" for name in ("prod-eu-1", "prod-us-1", "test"))),
    )
    (tmp_path / "mgmt.kubeconfig").write_text(json.dumps(hub))
    (tmp_path / "workloads.kubeconfig").write_text(json.dumps(workloads))
    served = tmp_path / "kubeconfig"
    environment = {"KUBECONFIG": str(served), "SITE_KUBECONFIG": served.read_text()}
    two, prod = ["cluster1", "cluster2"], ["eu-1", "us-1"]
    assert [_listed(tmp_path, example, environment) for example in EXAMPLES] == [
        {"management": ["mgmt"], "workload": two, "gateway": ["cluster1"]},
        {"management": ["mgmt"], "workload": prod, "gateway": ["eu-1"]},
        {"management": ["mgmt"], "workload": two, "gateway": ["cluster1"], "canary": two, "region_cl": two},
        {"management": ["mgmt"], "workload": two},
    ]


def _listed(folder: Path, config: Json, environment: Json) -> dict[str, list[str]]:
    """Hosts by group, of groups that have any."""
    (folder / "clusters.gloo.yml").write_text(yaml.safe_dump(config))
    listed = json.loads(run(folder, "ansible-inventory", "-i", "clusters.gloo.yml", "--list", **environment))
    return {group: found["hosts"] for group, found in listed.items() if "hosts" in found and group != "ungrouped"}


@pytest.mark.slow
def test_modules_reach_the_clusters_of_the_inventory(fake: Any, tmp_path: Path) -> None:
    """With content of a kubeconfig, both in the controller and as modules of their own, and with hostile names."""
    _api, path = fake
    config: Json = {"plugin": NAME, "kubeconfig": "{{ lookup('ansible.builtin.env', 'SITE_KUBECONFIG') }}"}
    config |= {"contexts": ["fake", {"pattern": "*", "name": "hostile"}], "gateway": "fake"}
    (tmp_path / "clusters.gloo.yml").write_text(yaml.safe_dump(config))
    content = json.loads(Path(path).read_text())
    content["contexts"][1]["name"] = HOSTILE
    asked: Json = {"kubeconfig": "{{ kubeconfig }}", "context": "{{ kube_context }}"}
    tasks = [
        {"multicluster.gloo.cluster_info": asked},
        {
            "multicluster.gloo.cluster_info": asked,
            "async": 60,
            "poll": 1,
            "when": "inventory_hostname in groups.gateway",
        },
    ]
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    environment = {"SITE_KUBECONFIG": json.dumps(content)}
    listed = run(tmp_path, "ansible-inventory", "-i", "clusters.gloo.yml", "--list", **environment)
    assert list(json.loads(listed)["_meta"]["hostvars"]) == ["fake", "hostile"]
    assert "played-token" not in listed
    played = run(tmp_path, "ansible-playbook", "-i", "clusters.gloo.yml", "play.yml", **environment)
    assert "fake                       : ok=2" in played and "hostile                    : ok=1" in played


@pytest.mark.slow
def test_content_may_be_encrypted_by_ansible_vault(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p")
    vault = ["--vault-password-file", "password"]
    secret = textwrap.indent(run(tmp_path, "ansible-vault", "encrypt_string", *vault, TOKEN).strip(), "          ")
    content = kubeconfig("a")
    content["users"] = ["HERE"]
    text = yaml.safe_dump({"plugin": NAME, "kubeconfig": {**content, "made": date(2026, 1, 2)}})
    (tmp_path / "clusters.gloo.yml").write_text(text.replace("HERE", f"name: u\n    user:\n      token:\n{secret}\n"))
    shown = run(
        tmp_path, "ansible", "-i", "clusters.gloo.yml", *vault, "a", "-m", "command", "-a", "cat {{ kubeconfig }}"
    )
    assert json.loads(shown[shown.index("{") :])["users"] == [{"name": "u", "user": {"token": TOKEN}}]
