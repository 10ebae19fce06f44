"""A program in place of helm: it records how it was started, and ends or stays as its behaviour says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

PROGRAM = """#!{python}
import json, os, pathlib, signal, subprocess, sys, time

here = pathlib.Path({folder!r})
arguments = sys.argv[1:]
if arguments[:1] == ["version"]:
    print("v3.18.0", end="")
    sys.exit()


def read(path):
    try:
        return path.read_bytes().decode("utf-8", "replace").split(chr(0))
    except OSError:
        return []


processes = {{int(each.name): each for each in pathlib.Path("/proc").iterdir() if each.name.isdigit()}}
after = lambda name: arguments[arguments.index(name) + 1] if name in arguments else ""
record = {{
    "pid": os.getpid(),
    "arguments": arguments,
    "environment": dict(os.environ),
    "values": sys.stdin.read() if after("--values") == "-" else "",
    "kubeconfig": pathlib.Path(after("--kubeconfig")).read_text(),
    "open": [os.readlink(f"/proc/self/fd/{{each}}") for each in os.listdir("/proc/self/fd")
             if os.path.lexists(f"/proc/self/fd/{{each}}")],
    "commands": {{pid: read(each / "cmdline") for pid, each in processes.items()}},
    "environments": {{pid: read(each / "environ") for pid, each in processes.items()}},
    "files": [str(each) for each in pathlib.Path({watched!r}).rglob("*")],
    "children": [],
}}
behaviour = (here / "behaviour").read_text()
if behaviour == "has a child":
    record["children"] = [subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); "
                                            "print(flush=True); signal.pause()"], stdout=subprocess.PIPE)]
    record["children"][0].stdout.readline()
    record["children"] = [each.pid for each in record["children"]]
if behaviour == "ignores SIGTERM":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
(here / "unfinished").write_text(json.dumps(record))
(here / "unfinished").rename(here / f"record.{{os.getpid()}}")
if behaviour == "fails":
    print("Error: UPGRADE FAILED: the chart refuses", record["values"], file=sys.stderr)
    sys.exit(1)
if behaviour == "is stopped":
    os.kill(os.getpid(), signal.SIGSTOP)
if behaviour != "ends":
    while True:
        signal.pause()
"""


class FakeHelm:
    """The program at ``path``. ``behaviour``: ends, fails, lives on, ignores SIGTERM, has a child, is stopped."""

    def __init__(self, folder: Path, behaviour: str, watched: Path) -> None:
        folder.mkdir()
        self.folder, self.path = folder, folder / "helm"
        self.path.write_text(PROGRAM.format(python=sys.executable, folder=str(folder), watched=str(watched)))
        self.path.chmod(0o755)
        (folder / "behaviour").write_text(behaviour)

    def records(self) -> list[Json]:
        """One for each start, except those that ask for the version."""
        return [json.loads(each.read_text()) for each in sorted(self.folder.glob("record.*"))]

    def living(self) -> Iterator[int]:
        """Processes of the program, and its children, that have not ended."""
        for record in self.records():
            for pid in (record["pid"], *record["children"]):
                try:
                    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                except OSError:
                    continue
                if state not in "ZX":
                    yield pid
