"""Runs a program in a network namespace of its own, for programs that listen on fixed ports of every address.

The namespace has a loopback interface and nothing else. Two ports of 127.0.0.1 are forwarded: `outward`, on which the
program reaches the same port of this machine, and `inward` of this machine, which leads to the program's `port`.

This process stays between the two: its main thread is in the namespace with the program, one other thread is not. As
root it needs CAP_SYS_ADMIN, as another user a user namespace, which some systems do not permit.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import paths
from lab.pods.forwarding import join

LOOPBACK = "127.0.0.1"
KILL_AFTER = 4.0  # seconds from SIGTERM to SIGKILL; less than child_process.GRACE
REFUSED = 126  # exit code without a namespace

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def command(outward: int, inward: int, port: int, *program: str) -> tuple[list[str], dict[str, str]]:
    """Arguments and environment that run `program` in a namespace; `inward` is a free port."""
    arguments = [sys.executable, "-m", "lab.pods.network_namespace", str(outward), str(inward), str(port), *program]
    return arguments, {"PYTHONPATH": str(paths.REPOSITORY)}


def problem() -> str:
    """Why this user cannot make such a namespace; empty when it works."""
    arguments, env = command(0, 0, 0, "true")
    done = subprocess.run(
        arguments, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""


def main(arguments: list[str]) -> int:
    """Run the program; returns its exit code, as a shell does for one that was killed."""
    outward, inward, port = (int(number) for number in arguments[:3])
    try:
        if os.geteuid():
            _enter_user_namespace()  # before there is a second thread
        return asyncio.run(_run(outward, inward, port, arguments[3:]))
    except OSError as error:
        print(f"{arguments[3]} does not run in a network namespace of its own: {error}", file=sys.stderr)
        return REFUSED


async def _run(outward: int, inward: int, port: int, program: list[str]) -> int:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as outside:  # its thread keeps the machine's network

        async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(OSError):
                far = await loop.run_in_executor(outside, socket.create_connection, (LOOPBACK, outward))
                await join(reader, writer, *await asyncio.open_connection(sock=far))

        async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(OSError):
                await join(reader, writer, *await asyncio.open_connection(LOOPBACK, port))

        listener = await loop.run_in_executor(outside, socket.create_server, (LOOPBACK, inward))
        _unshare(_CLONE_NEWNET)  # for this thread and the program that it starts
        _raise_loopback()
        await asyncio.start_server(enter, sock=listener)
        await asyncio.start_server(leave, LOOPBACK, outward)
        process = await asyncio.create_subprocess_exec(*program)

        def end() -> None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
                loop.call_later(KILL_AFTER, process.kill)

        loop.add_signal_handler(signal.SIGTERM, end)
        code = await process.wait()
    return 128 - code if code < 0 else code


def _enter_user_namespace() -> None:
    """A user namespace in which this user has the same id, and may make a network namespace."""
    user, group = os.geteuid(), os.getegid()
    _unshare(_CLONE_NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(text)


def _unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
