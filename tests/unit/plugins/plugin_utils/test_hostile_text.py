"""Text of a cluster that tries to control a terminal or to reorder what is read: in results, in bundles, in reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import fake_api
from ansible_collections.multicluster.gloo.plugins.module_utils.bundle import support_bundle
from ansible_collections.multicluster.gloo.plugins.module_utils.report import report_files

Json = dict[str, Any]
REPO = Path(__file__).resolve().parents[4]
HEALTH = json.loads((REPO / "tests" / "unit" / "fixtures" / "health_failed.json").read_text())

HOSTILE = {
    "clear the screen": "\x1b[2J\x1b[H",
    "colour": "\x1b[31;1mred\x1b[0m",
    "title of the window": "\x1b]0;owned\x07",
    "link": "\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "paste into the clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "request to the terminal": '\x1bP$q"p\x1b\\',
    "reset": "\x1bc",
    "sequence that never ends": "\x1b]0;x",
    "sequence in a sequence": "\x1b\x1b[0m[2J",
    "C1 sequence": "\x9b2J",
    "C1 title": "\x9d0;owned\x9c",
    "C1 next line": "\x85",
    "overwritten line": "failed\rok    ",
    "backspace": "failed\x08\x08\x08\x08\x08\x08ok    ",
    "delete": "\x7f",
    "bell, null and form feed": "\x07\x00\x0c\x0b",
    "shift out": "\x0e",
    "right to left": "\u202etxt.exe",
    "isolate": "\u2067abc\u2069",
    "mark": "\u200f\u061c",
    "line separator": "\u2028PLAY RECAP\u2029",
    "invisible": "a\u200bb\ufeffc\u2060",
    "hidden tags": "\U000e0041\U000e0042",
    "not a character": "\ufffe\uffff",
}
EVERYTHING = " ".join(f"[{text}]" for text in HOSTILE.values())
_REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_INVISIBLE = "\u200b\u200e\u200f\u061c\u2060\ufeff"


def dangerous(text: str) -> list[str]:
    """Characters that a terminal obeys, that reorder or hide text, or that are none."""
    found = []
    for place, each in enumerate(text):
        if each in "\t\n" or text[place : place + 2] == "\r\n":
            continue
        if (
            unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")
            or unicodedata.bidirectional(each) in _REORDERING
            or each in _INVISIBLE
            or ord(each) & 0xFFFE == 0xFFFE
            or 0xE0000 <= ord(each) <= 0xE007F
        ):
            found.append(f"{each!r} in {text[max(0, place - 40) : place + 40]!r}")
    return found


def test_dangerous_characters_are_recognised() -> None:
    assert [name for name, text in HOSTILE.items() if not dangerous(text)] == []
    assert dangerous("a\tb\r\nc é 雨 🌧 👩\u200d🔧\n") == []


def everywhere(value: Any, text: str) -> Any:
    """*value* with *text* after every text in it, keys and what a contract fixes excepted."""
    if isinstance(value, dict):
        return {k: each if k in ("verdict", "role") else everywhere(each, text) for k, each in value.items()}
    if isinstance(value, list):
        return [everywhere(each, text) for each in value]
    return value + text if isinstance(value, str) and value else value


# -- reports


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_reports(text: str) -> None:
    params = {"health": everywhere(HEALTH, text), "title": text, "docs_url": "", "formats": [*report_files.FORMATS]}
    written = report_files.render(params)
    for ending, content in written.items():
        assert dangerous(content) == [], ending
    texts = [
        each for element in ET.fromstring(written["xml"]).iter() for each in (element.text, *element.attrib.values())
    ]
    texts += strings(json.loads(written["json"]))
    assert [found for each in texts if each for found in dangerous(each)] == []


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from strings(each)


# -- bundles


def plant(api: fake_api.FakeApi) -> None:
    """A component whose objects, events and logs contain the hostile texts."""
    api.write("v1", "namespaces", "", {"metadata": {"name": "gloo-mesh"}})
    labels = {"app": "gloo-mesh-agent"}
    containers = [{"name": "agent", "image": f"agent:1{EVERYTHING}", "args": [EVERYTHING]}]
    status = {"phase": "Pending", "message": EVERYTHING, "conditions": [
        {"type": "Ready", "status": "False", "reason": "Bad", "message": EVERYTHING}
    ]}  # fmt: skip
    meta = {"name": "agent-1", "labels": labels, "annotations": {"deployment.kubernetes.io/revision": EVERYTHING}}
    pod = {"metadata": meta, "spec": {"containers": containers}, "status": status}
    api.write("v1", "pods", "gloo-mesh", pod)
    api.logs["gloo-mesh", "agent-1", "agent", False] = f"starts\r\n{EVERYTHING}\n"
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": f"agent-1{EVERYTHING}"},
             "type": "Warning", "reason": f"Bad\nfake line{EVERYTHING}", "message": EVERYTHING}  # fmt: skip
    api.write("v1", "events", "gloo-mesh", event)


def bundle(kubeconfig: str, folder: Path) -> tuple[Json, dict[str, str]]:
    clusters = [{"name": "c1", "kubeconfig": kubeconfig, "context": "fake", "role": "workload", "gateway": False}]
    limits = {"namespaces": [], "log_lines": 100, "max_size": 50, "max_file_size": 5}
    result = support_bundle.run(
        {"clusters": clusters, "dest": str(folder / "b.tar.gz"), **limits}, False, lambda line: None
    )
    with tarfile.open(result["archive"]) as archive:
        files = {each.name: archive.extractfile(each) for each in archive.getmembers()}
        return result, {name: file.read().decode() for name, file in files.items() if file}


def test_bundles(fake: Any, tmp_path: Path) -> None:
    plant(fake[0])
    fake[0].refuse("GET", "/services$", 500, {"reason": "InternalError", "message": EVERYTHING}, times=9)
    _result, files = bundle(fake[1], tmp_path)
    assert {path.rpartition("/")[2] for path in files} >= {"events.txt", "agent.log", "Pod.yaml", "index.json"}
    for path, content in files.items():
        assert dangerous(content) == [], path
    [events] = [content for path, content in files.items() if path.endswith("events.txt")]
    assert len(events.splitlines()) == 1
    [log] = [content for path, content in files.items() if path.endswith("agent.log")]
    assert log.startswith("starts\r\n")


COLOURED = {
    "around the name": "\x1b[36mtoken\x1b[0m=hunter2-in-colour",
    "around the equals sign": "token\x1b[2m=\x1b[0mhunter2-in-colour",
    "within the value": "password: hunter2-\x1b[1min-colour",
    "of C1": "\x9b36mpassword\x9b0m: hunter2-in-colour",
    "a link": "token=\x1b]8;;x\x07hunter2-in-colour\x1b]8;;\x07",
}


@pytest.mark.parametrize("line", COLOURED.values(), ids=COLOURED)
def test_colours_hide_no_secret_from_redaction(fake: Any, tmp_path: Path, line: str) -> None:
    plant(fake[0])
    fake[0].logs["gloo-mesh", "agent-1", "agent", False] = f"starts\n{line}\nends\n"
    _result, files = bundle(fake[1], tmp_path)
    [log] = [content for path, content in files.items() if path.endswith("agent.log")]
    assert "in-colour" not in log and log.splitlines()[::2] == ["starts", "ends"]


# -- the terminal


def tasks() -> list[Json]:
    """Each shows hostile texts in another way."""
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "team"}}
    refused = {**config_map, "metadata": {"name": "n", "namespace": "team"}}
    config_maps = {"api_version": "v1", "kind": "ConfigMap", "namespace": "team"}
    deployments = {"api_version": "apps/v1", "kind": "Deployment", "namespace": "team"}
    return [
        # a result; a difference; progress and the failure of a wait; refusals by the server; the table of the doctor
        {"multicluster.gloo.objects_info": {"objects": [config_maps]}},
        {"multicluster.gloo.objects": {"definitions": [{**config_map, "data": {"a": "new"}}], "on_conflict": "force"}},
        {"multicluster.gloo.objects_info": {"objects": [deployments], "wait_for": "ready", "wait_timeout": 4}},
        {"multicluster.gloo.objects": {"definitions": [refused]}},
        {"multicluster.gloo.objects_info": {"objects": [{"api_version": "v1", "kind": "Service"}]}},
        {"multicluster.gloo.health_info": {"clusters": [
            {"name": "c1", "kubeconfig": "{{ kubeconfig }}", "context": "fake", "role": "management"}
        ]}},
        {"multicluster.gloo.support_bundle": {"dest": "b.tar.gz", "clusters": [
            {"name": "c1", "kubeconfig": "{{ kubeconfig }}", "context": "fake", "role": "workload"}
        ]}},
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("way", "form"), [("controller", "json"), ("controller", "yaml"), ("module", "json")])
def test_terminal(fake: Any, tmp_path: Path, way: str, form: str) -> None:
    api, kubeconfig = fake
    plant(api)
    api.write("v1", "namespaces", "", {"metadata": {"name": "team"}})
    api.write("v1", "configmaps", "team", {"metadata": {"name": "m"}, "data": {"a": EVERYTHING, "b": EVERYTHING}})
    condition = {"type": "Progressing", "status": "False", "reason": "Bad", "message": EVERYTHING}
    api.write("apps/v1", "deployments", "team", {"metadata": {"name": "d"}, "spec": {"replicas": 1},
                                                 "status": {"conditions": [condition]}})  # fmt: skip
    api.refuse("PATCH", "configmaps/n", 422, {"reason": "Invalid", "message": EVERYTHING}, times=9)
    api.refuse("GET", "/services", 403, {"reason": "Forbidden", "message": EVERYTHING}, times=99)
    # A task with async runs as a module; each is slow, and the result has the same origin.
    chosen, more = (tasks(), {}) if way == "controller" else (tasks()[2:4], {"async": 90, "poll": 1})
    named: list[Json] = [
        {**task, **more, "register": f"r{number}", "ignore_errors": True} for number, task in enumerate(chosen)
    ]
    named.append({"ansible.builtin.debug": {"msg": "{{ [r0, r1] }}"}})
    access = {"group/multicluster.gloo.cluster": {"kubeconfig": "{{ kubeconfig }}", "context": "fake"}}
    play = [{"hosts": "localhost", "gather_facts": False, "module_defaults": access, "tasks": named}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(REPO / ".cache" / "collections"),
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_CALLBACK_RESULT_FORMAT": form,
        "ANSIBLE_ASYNC_DIR": str(tmp_path / "async"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_LOCALHOST_WARNING": "0",
    }
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,",
        "-c",
        "local",
        "--diff",
        "-vvv",
    ]
    command += ["-e", json.dumps({"kubeconfig": kubeconfig, "ansible_python_interpreter": sys.executable}), "play.yml"]
    done = subprocess.run(command, env=environment, capture_output=True, cwd=tmp_path)
    shown = (done.stdout + done.stderr).decode()
    assert done.returncode == 0 and shown.count("fatal: ") == (3 if way == "controller" else 2), shown
    assert shown.count("[red]") > 5
    assert dangerous(shown) == []
