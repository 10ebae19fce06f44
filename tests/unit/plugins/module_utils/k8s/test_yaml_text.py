"""Texts that kgateway's templates write unquoted, as Go's reader reads them."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.yaml_text import yaml_keeps

REPOSITORY = Path(__file__).parents[5]
#: {text: whether Go's reader keeps it}, printed by lab/programs/go/yamltext for words()
TRUTH: dict[str, bool] = json.loads(Path(__file__).with_name("yaml_text.json").read_text(encoding="utf-8"))

SPELLINGS: tuple[Callable[[str], str], ...] = (
    str.lower,
    str.upper,
    str.title,
    lambda word: word[:1] + word[1:].upper(),
    lambda word: word[:-1] + word[-1:].upper(),
)
WORDS = """
y n yes no on off true false null ~ .nan .inf +.inf -.inf nan inf infinity none nil yess t f
"""
NUMBERS = """
0 1 7 08 017 0o17 0O17 0o8 0x1f 0X1F 0xg 0b101 0B1 0b2 12 1_0 1__0 _1 1_ 0_7 0x_1 0b_1 00 0x 0b 0o
9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 123456789012345678901234567890
1. .1 1.5 .5_0 ._5 .5_ 1.5_0 1e3 1E3 1e+3 1e-3 1e 1e_3 1_e3 12e_3 1e1_0 3E_02 8e557 .1e999 1.e3 .e3 1.5.2 .412e7_6
"""
OTHERS = """
12:30 12:30:45 1:30.5 190:20:30 01:02 2026-01-01 2026-1-1 2026-01-01T00:00:00Z 20260101 2026-13-45
a cluster-1 cluster_1 a.b a-1 1a 1-a e3 1e3a x0 0xcafe cafe é gke_project_zone_name arn:aws:eks:eu:1:cluster/x
istiod.istio-system.svc:15012 10.0.0.1:15012 10.0.0.1 [fd00::1]:15012 fd00::1:15012 fd00::1 ::1 1:2 host: :15012
"""
TIMES = ["2026-01-01 10:00:00", "2026-01-01t10:00:00.5-08:00", "2026-01-01 "]
INDICATORS = [lead + rest for lead in "-?:,[]{}#&*!|>'\"%@`=<~+." for rest in ("", "a", " a", lead, f"{lead}a", "1")]
INSIDE = [
    f"a{middle}b"
    for middle in (": ", ":", " #", "#", " ", "  ", "\t", "\n", "\x85", "\u2028", "\x07", "\ufeff", ",", "]", "}")
]
AROUND = [
    around.format("a")
    for around in (" {}", "{} ", "\t{}", "{}\t", "'{}'", '"{}"', "{}:", "{}#", "{} #", "[{}]", "{{{}}}")
]


def words() -> list[str]:
    """Some thousand texts of every kind that a reader may change."""
    signed = [sign + text for sign in ("", "-", "+", "_", ".") for text in NUMBERS.split()]
    spelled = [spell(word) for spell in SPELLINGS for word in WORDS.split()]
    joined = [
        f"{left}{joint}{right}" for left, joint, right in itertools.product("018ae-.", ("", *"_.:eE-+x"), "01_9e.n")
    ]
    twice = ["".join(two) for length in (1, 2, 3, 4) for two in itertools.product("01e_.-:#", repeat=length)]
    many = [
        *signed,
        *spelled,
        *joined,
        *twice,
        *TIMES,
        *OTHERS.split(),
        *INDICATORS,
        *INSIDE,
        *AROUND,
        "",
        " ",
        "<<",
    ]
    return sorted(dict.fromkeys(many))


def test_the_rule_agrees_with_the_reader() -> None:
    assert [text for text, kept in TRUTH.items() if yaml_keeps(text) != kept] == []


def test_the_words_are_of_every_kind() -> None:
    assert sorted(TRUTH) == words() and len(TRUTH) > 2000
    assert min(sum(TRUTH.values()), len(TRUTH) - sum(TRUTH.values())) > 500


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Callable[[list[str]], list[bool]]:
    """The reader itself, compiled from the lab's module."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: the recorded answers of its YAML reader are compared only")
    program = tmp_path_factory.mktemp("yamltext") / "yamltext"
    module = REPOSITORY / "lab/programs/go"
    built = subprocess.run(
        [go, "build", "-mod=readonly", "-o", program, "./yamltext"],
        cwd=module, env={**os.environ, "GOFLAGS": ""}, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if built.returncode and "dial tcp" in built.stderr:
        pytest.skip("the module sigs.k8s.io/yaml is neither cached nor can it be fetched")
    assert built.returncode == 0, built.stderr

    def read(texts: list[str]) -> list[bool]:
        run = subprocess.run([program], input=json.dumps(texts), capture_output=True, text=True, timeout=60, check=True)
        answers: list[bool] = json.loads(run.stdout)
        return answers

    return read


@pytest.mark.slow
def test_the_recorded_answers_are_the_readers(reader: Callable[[list[str]], list[bool]]) -> None:
    texts = list(TRUTH)
    assert dict(zip(texts, reader(texts), strict=True)) == TRUTH


ALPHABETS = ("abeEnoxXyYtrufls0123456789_-+.:#~ /&*!|>'\"%@`{}[],?=<", "0123456789_+-.eExXoObB", "0123456789:-TZ. ")


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(*(st.text(alphabet=letters, max_size=10) for letters in ALPHABETS), st.text(max_size=8)),
        min_size=100, max_size=200,
    )
)  # fmt: skip
def test_the_rule_agrees_with_the_reader_on_other_texts(
    reader: Callable[[list[str]], list[bool]], texts: list[str]
) -> None:
    assert [text for text, kept in zip(texts, reader(texts), strict=True) if yaml_keeps(text) != kept] == []
