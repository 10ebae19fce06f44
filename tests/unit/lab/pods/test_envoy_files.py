"""Writing Envoy's configuration files."""

from __future__ import annotations

import json
from typing import Any

from lab.pods import envoy_files


def test_files_are_written_only_when_they_change(tmp_path: Any) -> None:
    path = tmp_path / "sub" / "lds.json"
    assert envoy_files.read(path) == {"resources": []}
    assert envoy_files.write(path, {"resources": []})
    before = path.stat().st_ino
    assert not envoy_files.write(path, {"resources": []})
    assert path.stat().st_ino == before
    assert envoy_files.write(path, {"resources": [1]})
    assert json.loads(path.read_text()) == envoy_files.read(path) == {"resources": [1]}
    assert path.stat().st_ino != before  # renamed into place, which is what Envoy watches for
