"""Logs of containers: files, format, and messages that are not repeated."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

from lab.pods import pod_logs

CRI = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F (.*)")


def messages(file: Path) -> list[str]:
    found = [CRI.fullmatch(line) for line in file.read_text().splitlines()]
    assert all(found), file.read_text()
    return [match[1] for match in found if match]


def test_lines_have_time_stream_and_tag(tmp_path: Path) -> None:
    file = pod_logs.log_file(tmp_path, "c1", "uid-1", "sds")
    pod_logs.append(file, "one\ntwo")
    assert messages(file) == ["one", "two"]
    assert pod_logs.logs_of(tmp_path, "c1", "uid-1") == {"sds": file}
    assert pod_logs.logs_of(tmp_path, "c2", "uid-1") == {}


def test_output_of_a_process_is_copied_and_an_incomplete_last_line_completed(tmp_path: Path) -> None:
    file = pod_logs.log_file(tmp_path, "c1", "uid-1", "discovery")
    pod_logs.append(file, "before the restart")
    pod_logs.copy(io.BytesIO(b"starting\r\n\nended"), file)
    assert messages(file) == ["before the restart", "starting", "", "ended"]


def test_logs_go_with_their_pods(tmp_path: Path) -> None:
    files = [pod_logs.log_file(tmp_path, "c1", uid, "app") for uid in ("gone", "here")]
    for file in files:
        pod_logs.append(file, "x")
    pod_logs.remove_others(tmp_path, "c1", ["here"])
    pod_logs.remove_others(tmp_path, "c-without-logs", [])
    assert [file.exists() for file in files] == [False, True]


def test_a_state_is_logged_once_until_it_changes(tmp_path: Path, made: Any) -> None:
    pod, simulated = made.pod("agent-1", containers=[{"name": "agent"}, {"name": "other"}]), pod_logs.SimulatedLogs()
    for message in ("refused", "refused", "connected", "refused"):
        simulated.write(tmp_path, "c1", pod, "error", message)
        simulated.write(tmp_path, "c1", pod, "info", "started", topic="start")
    lines = [json.loads(line) for line in messages(pod_logs.logs_of(tmp_path, "c1", "uid-agent-1")["agent"])]
    assert [line["msg"] for line in lines] == ["refused", "started", "connected", "refused"]
    assert {"level", "ts", "msg"} == set(lines[0])
