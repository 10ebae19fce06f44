"""Fixtures for tests of the collection's plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fake_api
import fast_time
import proxy_stage


@pytest.fixture
def serving() -> Any:
    """``serving(folder, *contexts)``: a context manager that yields (FakeApi, kubeconfig path)."""
    return fake_api.serving


@pytest.fixture
def fake(serving: Any, tmp_path: Path) -> Iterator[Any]:
    """(FakeApi, kubeconfig path): an API server on loopback with a context ``fake`` and one ``other``."""
    with serving(tmp_path, "fake", "other") as served:
        yield served


def _damaged(value: Any) -> Iterator[tuple[str, Any]]:
    """The value itself, again and again, with one field below it gone, null or of another type each time."""

    def places(below: Any, way: str) -> Iterator[tuple[str, Any, Any]]:
        keys = list(below) if isinstance(below, dict) else range(len(below)) if isinstance(below, list) else ()
        for key in keys:
            yield f"{way}/{key}", below, key
            yield from places(below[key], f"{way}/{key}")

    for way, parent, key in list(places(value, "")):
        whole = parent[key]
        for other in (None, "text", 7, True, [], ["x"], [None], {}, {"x": "y"}):
            parent[key] = other
            yield f"{way}={other}", value
        parent[key] = whole
        if isinstance(parent, dict):
            items = list(parent.items())
            del parent[key]
            yield f"{way} gone", value
            parent.clear()
            parent.update(items)


@pytest.fixture
def damaged() -> Any:
    """``damaged(value)``: what it is like with one field after the other gone, null or of another type."""
    return _damaged


@pytest.fixture
def stage() -> Any:
    """The objects around a healthy Gateway's proxy: a Stage of proxy_stage.py."""
    return proxy_stage.Stage()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engines' clock runs five times as fast: for tests that wait for what never comes."""
    for module, name, clock in fast_time.of_modules("ansible_collections.multicluster.gloo.plugins.module_utils."):
        monkeypatch.setattr(module, name, clock)
