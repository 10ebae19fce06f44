"""How parameters of a proxy merge."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import deep_merge

trees: st.SearchStrategy[Any] = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)


def leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """Value by path of every leaf; an empty dict is one."""
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {p: v for key, value in tree.items() for p, v in leaves(value, f"{path}.{key}").items()}


@given(st.dictionaries(st.sampled_from("abc"), trees, min_size=1), st.dictionaries(st.sampled_from("abc"), trees))
def test_the_second_wins_and_nothing_else_is_lost(base: dict[str, Any], over: dict[str, Any]) -> None:
    merged = leaves(deep_merge(base, over))
    told = leaves(over) if over else {}
    assert all(merged.get(path) == value for path, value in told.items() if value != {})
    for path, value in leaves(base).items():
        touched = any(p == path or p.startswith(f"{path}.") or path.startswith(f"{p}.") for p in told)
        assert touched or merged[path] == value
