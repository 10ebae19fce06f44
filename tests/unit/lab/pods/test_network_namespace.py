"""Programs in a network namespace of their own, where this machine permits one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from lab.pods import network_namespace

# Serves on a port of every address, and answers with what it gets from 127.0.0.1 of the machine.
PROGRAM = """
import http.server, sys, urllib.request
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/") as far:
            text = far.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"inside, " + text)
http.server.HTTPServer(("0.0.0.0", int(sys.argv[2])), Answer).serve_forever()
"""
NO_NAMESPACE = network_namespace.problem()
needs_namespace = pytest.mark.skipif(bool(NO_NAMESPACE), reason=f"this user cannot make one: {NO_NAMESPACE}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def start(outward: int, inward: int, port: int, *program: str) -> subprocess.Popen[str]:
    arguments, env = network_namespace.command(outward, inward, port, *program)
    return subprocess.Popen(
        arguments, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.fixture
def outside() -> Iterator[int]:
    """The port of a server on this machine's loopback."""

    class Outside(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"outside")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Outside)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@needs_namespace
def test_a_program_reaches_one_port_and_is_reached_by_one(outside: int) -> None:
    inward, port = free_port(), free_port()
    running = start(outside, inward, port, sys.executable, "-c", PROGRAM, str(outside), str(port))
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{inward}/", timeout=5) as answer:
                    assert answer.read() == b"inside, outside"
                break
            except OSError:
                assert running.poll() is None and time.monotonic() < deadline
                time.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):  # its own port is in the namespace only
            socket.create_connection(("127.0.0.1", port), timeout=5)
    finally:
        running.terminate()
        output = running.communicate(timeout=20)[0]
    assert running.returncode == 128 + signal.SIGTERM, output


@needs_namespace
def test_the_exit_code_and_the_output_are_the_programs() -> None:
    running = start(0, 0, 0, "sh", "-c", "echo words; exit 3")
    assert running.communicate(timeout=20)[0] == "words\n"
    assert running.returncode == 3


@needs_namespace
def test_a_program_that_does_not_end_is_killed() -> None:
    running = start(
        0,
        0,
        0,
        sys.executable,
        "-u",
        "-c",
        "import signal\nsignal.signal(15, signal.SIG_IGN)\nprint(1)\nsignal.pause()",
    )
    assert running.stdout is not None
    assert running.stdout.readline() == "1\n"
    running.terminate()
    assert running.wait(network_namespace.KILL_AFTER + 10) == 128 + signal.SIGKILL


def test_without_the_right_to_a_namespace_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(flags: int) -> None:
        raise PermissionError(1, "unshare: Operation not permitted")

    monkeypatch.setattr(network_namespace, "_unshare", refused)
    started = tmp_path / "started"
    code = network_namespace.main(["0", "0", "0", "touch", str(started)])
    assert code == network_namespace.REFUSED and not started.exists()
    assert "touch does not run in a network namespace of its own: [Errno 1]" in capsys.readouterr().err
