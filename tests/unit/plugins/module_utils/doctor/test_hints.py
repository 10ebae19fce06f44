"""Advice that names a write first excludes that the state is intended."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCTOR = Path(__file__).parents[5] / "plugins" / "module_utils" / "doctor"
FILES = (
    "checks_mesh", "checks_workspaces", "checks_istio", "checks_routing", "checks_gateway", "checks_traffic", "logs",
)  # fmt: skip

WRITES = (
    "create", "delete", "restart", "set", "install", "uninstall", "remove", "label", "copy", "add", "scale", "rename",
    "renew", "give",
)  # fmt: skip
#: a verb where a sentence or a clause begins
WRITE = re.compile(rf"(?:^|[.:;,] |\b(?:then|and|or|,) )({'|'.join(WRITES)})\b", re.IGNORECASE)
EXCLUDES = re.compile(r"\bunless\b|\bif\b|\bno action is needed\b", re.IGNORECASE)

#: advice without such words, and what its check has excluded
EXCLUDED = {
    "check that the cluster has a load balancer provider": "names no write",
    "renew the licence where it is kept": "an object is UNLICENSED, which nobody intends",
    "renew the relay's certificates": "the certificate has expired",
    "renew the root certificate where it is issued": "every root has expired",
    "set a unique Helm value common.cluster": "part of a sentence that begins with if",
    "make the selectors more specific": "several Services are selected, of which one is used",
}


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text of a module that is not a docstring; joined where it is written in parts."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            inside.add(body[0].value)
        if isinstance(node, ast.BinOp | ast.JoinedStr) and node not in inside:
            inside.update(ast.walk(node))
            yield _joined(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inside:
            yield node.value


def _joined(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_joined, node.values))
    return f"{_joined(node.left)}{_joined(node.right)}" if isinstance(node, ast.BinOp) else "..."


@pytest.mark.parametrize("name", FILES)
def test_a_hint_with_a_write_excludes_that_the_state_is_intended(name: str) -> None:
    found = [text for text in texts(ast.parse((DOCTOR / f"{name}.py").read_text())) if len(text.split()) > 3]
    assert found
    bold = [text for text in found if WRITE.search(text) and not EXCLUDES.search(text)]
    assert [text for text in bold if not any(text.startswith(known) for known in EXCLUDED)] == []


@pytest.mark.parametrize(
    ("text", "bold"),
    [
        ("restart istiod", True),
        ("read its log, then restart it", True),
        ("Create a RootTrustPolicy", True),
        ("it is created by the agent", False),
        ("the settings are set by Helm", False),
        ("unless it is down on purpose, scale it up", False),
        ("no action is needed during a rotation; then restart it", False),
    ],
)
def test_such_a_hint_is_recognised(text: str, bold: bool) -> None:
    assert bool(WRITE.search(text) and not EXCLUDES.search(text)) is bold
