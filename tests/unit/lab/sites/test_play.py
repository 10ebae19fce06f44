"""What the player of sites makes of Helm's records."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from lab.sites.play import with_status


def secret(record: dict[str, Any]) -> dict[str, Any]:
    text = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    return {"metadata": {"name": "r", "labels": {"owner": "helm", "status": "deployed"}}, "data": {"release": text}}


@pytest.mark.parametrize(("status", "hours"), [("pending-upgrade", 1), ("pending-install", 1), ("deployed", 0)])
def test_a_record_gets_another_status_and_keeps_the_rest(status: str, hours: int) -> None:
    now = datetime.now(UTC)
    info = {"status": "superseded", "last_deployed": now.isoformat()}
    found = with_status(secret({"name": "r", "config": {"a": 1}, "info": info}), status)
    assert found["metadata"] == {"name": "r", "labels": {"owner": "helm", "status": status}}
    record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(found["data"]["release"]))))
    assert record["config"] == {"a": 1} and record["info"]["status"] == status
    age = now - datetime.fromisoformat(record["info"]["last_deployed"])
    assert round(age.total_seconds() / 3600) == hours
