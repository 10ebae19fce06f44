"""The lab's reader of unquoted values against the answers of Go's reader."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from lab.vendor.gloo_gateway import unquoted

#: printed by lab/programs/go/yamltext
TRUTH = Path(__file__).parents[3] / "plugins/module_utils/k8s/yaml_text.json"
# PyYAML refuses a tab within a plain text; no value of a proxy has one.
TABS = {"a\tb"}


def kept(text: str) -> bool:
    try:
        return bool(unquoted.read(text) == text)
    except yaml.YAMLError:
        return False


def test_the_labs_reader_agrees_with_gos() -> None:
    truth = json.loads(TRUTH.read_text(encoding="utf-8"))
    assert {text for text, answer in truth.items() if kept(text) != answer} == TABS
