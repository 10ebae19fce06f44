"""Fixtures for tests of the collection's plugins."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load(name: str) -> ModuleType:
    """The helper beside this file; tests are imported without packages, so it has no import name of its own."""
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def serving() -> Any:
    """``serving(folder, *contexts)``: a context manager that yields (FakeApi, kubeconfig path)."""
    return _load("fake_api").serving


@pytest.fixture
def fake(serving: Any, tmp_path: Path) -> Iterator[Any]:
    """(FakeApi, kubeconfig path): an API server on loopback with a context ``fake`` and one ``other``."""
    with serving(tmp_path, "fake", "other") as served:
        yield served


@pytest.fixture
def stage() -> Any:
    """The objects around a healthy Gateway's proxy: a Stage of proxy_stage.py."""
    return _load("proxy_stage").Stage()
