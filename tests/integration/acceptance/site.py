"""One lab and the playbooks that run on it, started like a user starts them: as programs, in the repository's root."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab.control_plane.api import Api, ApiError

REPO = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
AGENT = "acceptance"  # the tests' own user agent in the audit logs
LAB_LICENCE = "simulated-licence-key"

Inventory = dict[str, Any]


def guide_data(namespace: str = "gloo-system") -> dict[str, Any]:
    """The data of the guide with its Gateway in this namespace."""
    text = (REPO / "playbooks" / "vars" / "guide.yml").read_text()
    return dict(yaml.safe_load(re.sub(r'"\{\{ gateway_namespace .*?\}\}"', namespace, text)))


@dataclass(frozen=True)
class Run:
    """A program that ended: its exit code, everything it printed, seconds of wall time."""

    argv: tuple[str, ...]
    code: int
    output: str
    seconds: float

    @property
    def text(self) -> str:
        """The output on one line, so that a message is found however it was wrapped."""
        return re.sub(r"\s+", " ", self.output)

    @property
    def errors(self) -> str:
        """On one line, what Ansible's errors say: neither whose result they are, nor the excerpt of the playbook."""
        return re.sub(r"\s+", " ", "\n".join(_error_lines(self.output)))

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """PLAY RECAP per host: {"cluster1": {"ok": 12, "changed": 0, …}}."""
        rows = re.findall(r"^(\S+)\s+:\s+(ok=\d+\s(?:\s*\w+=\d+)+)\s*$", self.output, re.MULTILINE)
        return {host: {key: int(number) for key, number in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in rows}

    @property
    def changed(self) -> dict[str, int]:
        """Host -> number of changes, of the hosts that had any."""
        return {host: counts["changed"] for host, counts in self.recap.items() if counts["changed"]}

    def ok(self) -> Run:
        """This run; fails the test with the whole output unless the program ended 0."""
        assert self.code == 0, f"{' '.join(self.argv)} ended {self.code}:\n{self.output}"
        return self


_ERROR = re.compile(r"^(\[ERROR\]:|(fatal|failed): \[[^]]*\](: [A-Z]+! =>)?)")
_NO_ERROR = re.compile(r"^((ok|changed|skipping|included): |\[(DEPRECATION )?WARNING\]|[A-Z][A-Z ]+( \[.*)? \*{3,}$)")
_EXCERPT = re.compile(r"^(\s*$|\s*\d+(\s|$)|\s*\^ column \d+|\s*\.\.\.\s*$)")


def _error_lines(output: str) -> Iterator[str]:
    inside = origin = False
    for line in output.splitlines():
        if _ERROR.match(line):
            inside, origin = True, False
            yield _ERROR.sub("", line)
        elif _NO_ERROR.match(line):
            inside = False
        elif line.startswith("Origin: "):
            origin = True
        elif inside and not (origin and _EXCERPT.match(line)):
            origin = False
            yield line


class Site:
    """A lab at `home` and what is played on it.

    `deployed` says whether site.yml has been played since the clusters were last empty.
    """

    def __init__(self, home: Path, workloads: int = 2) -> None:
        self.home = home
        self.workloads = workloads
        self.deployed = False
        self.figures: list[str] = []
        # Where programs put their temporary files; outside the lab, so that it can be removed meanwhile.
        self.temporary = tempfile.TemporaryDirectory()

    def note(self, what: str, seconds: float) -> None:
        """Keep a figure for the summary at the end of the test session."""
        self.figures.append(f"{seconds:7.1f} s  {what}")

    # --- the lab --------------------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    @property
    def inventory_file(self) -> Path:
        return self.home / "inventory.yml"

    @property
    def inventory(self) -> Inventory:
        """A copy of the lab's inventory, to be changed at will."""
        return dict(yaml.safe_load(self.inventory_file.read_text()))

    def group(self, name: str) -> list[str]:
        """Host names of an inventory group: management, workload or gateway."""
        return list(self.inventory["all"]["children"][name]["hosts"])

    @property
    def clusters(self) -> list[str]:
        return [*self.group("management"), *self.group("workload")]

    @property
    def management(self) -> str:
        return self.group("management")[0]

    @property
    def gateway_cluster(self) -> str:
        return self.group("gateway")[0]

    @property
    def remote_cluster(self) -> str:
        """The last workload cluster: the one the gateway reaches only through the mesh."""
        return self.group("workload")[-1]

    @functools.cache  # noqa: B019 - a Site lives as long as the test session
    def api(self, cluster: str) -> Api:
        return Api(self.kubeconfig, cluster, user_agent=AGENT)

    def up(self) -> None:
        """Start the lab; what it says is shown at once, a first start may build programs for minutes."""
        start = time.monotonic()
        # With the inventory's Gateway API, which the tests change; test_2_lab.py has the operator's.
        settings = ["--set", "operator-gateway-api=absent"]
        command = [sys.executable, "-m", "lab", "up", "--workloads", str(self.workloads), *settings]
        done = subprocess.run(command, cwd=REPO, env=self.environment(), stdin=subprocess.DEVNULL, timeout=1800)
        self.note(f"lab up, {self.workloads + 1} clusters", time.monotonic() - start)
        assert done.returncode == 0, f"lab up ended {done.returncode}"

    def down(self) -> Run:
        self.deployed = False
        return self.lab("down")

    def end(self) -> None:
        self.down().ok()

    def lab(self, *arguments: str, timeout: float = 120) -> Run:
        return self.run(sys.executable, "-m", "lab", *arguments, timeout=timeout)

    # --- programs -------------------------------------------------------------------------------------------------

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ANSIBLE_", "K8S_AUTH_", "MOLECULE_", "PYTEST_", "MAKE", "MFLAGS"))
        }
        return {
            **kept,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(REPO / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LAB_HOME": str(self.home),
            "TMPDIR": self.temporary.name,
            "KUBECONFIG": str(self.kubeconfig),
            "GLOO_MESH_LICENSE_KEY": LAB_LICENCE,
            "GLOO_GATEWAY_LICENSE_KEY": LAB_LICENCE,
            **(changes or {}),
        }

    def run(self, *argv: str, timeout: float = 600, environment: Mapping[str, str] | None = None) -> Run:
        """Start a program and wait; what it prints goes to the test's captured output too. It leaves no key behind."""
        start = time.monotonic()
        done = subprocess.run(
            argv,
            cwd=REPO,
            env=self.environment(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )
        run = Run(tuple(argv), done.returncode, done.stdout, time.monotonic() - start)
        print(f"$ {' '.join(argv)}\n{run.output}\n-> {run.code} in {run.seconds:.1f} s")
        files = [path for path in Path(self.temporary.name).rglob("*") if path.is_file()]
        keys = [path.name for path in files if b"PRIVATE KEY" in path.read_bytes()]
        assert not keys, f"{' '.join(argv)} left private keys in {len(keys)} temporary files"
        return run

    def play(
        self,
        playbook: str,
        *options: str,
        inventory: Inventory | None = None,
        variables: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 600,
    ) -> Run:
        """ansible-playbook playbooks/<playbook>.yml on the lab's inventory, or on a changed copy of it."""
        with tempfile.TemporaryDirectory() as folder:
            hosts = self.inventory_file
            if inventory is not None:
                hosts = Path(folder, "inventory.yml")
                hosts.write_text(yaml.safe_dump(inventory))
            if variables:
                Path(folder, "variables.json").write_text(json.dumps(variables))
                options = (*options, "--extra-vars", f"@{folder}/variables.json")
            command = [str(BIN / "ansible-playbook"), f"playbooks/{playbook}.yml", "--inventory", str(hosts), *options]
            run = self.run(*command, environment=environment, timeout=timeout)
        # A run refused before its first write leaves the clusters as empty as they were.
        if playbook == "site" and "--check" not in options and (run.code == 0 or run.changed):
            self.deployed = True
        if playbook == "cleanup" and "--check" not in options and run.code == 0:
            self.deployed = False
        return run

    def molecule(self, action: str, timeout: float = 900) -> Run:
        """One action of molecule/default on this lab, its output without colours and boxes."""
        plain = [] if action == "reset" else ["--no-command-borders"]
        run = self.run(
            *(str(BIN / "molecule"), action, "--scenario-name", "default", *plain),
            environment={"NO_COLOR": "1", "COLUMNS": "200"},
            timeout=timeout,
        )
        if action == "converge":
            self.deployed = True
        if action in ("cleanup", "destroy") and run.code == 0:
            self.deployed = False
        return run

    def make(self, target: str, *options: str, timeout: float = 900) -> Run:
        """make TARGET on this lab, as a newcomer would type it."""
        run = self.run("make", target, f"LAB_HOME={self.home}", *options, timeout=timeout)
        if target == "site":
            self.deployed = True
        if target == "cleanup" and run.code == 0:
            self.deployed = False
        return run

    # --- states the tests start from -----------------------------------------------------------------------------

    def ensure_deployed(self) -> None:
        if not self.deployed:
            self.play("site").ok()

    def ensure_empty(self) -> None:
        if self.deployed:
            self.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true").ok()

    # --- objects --------------------------------------------------------------------------------------------------

    def get(self, cluster: str, path: str) -> dict[str, Any] | None:
        """The object or list at an API path; None where there is none or the kind cannot be listed."""
        try:
            return self._patiently(cluster, "GET", path)
        except ApiError as error:
            if error.status in (404, 405):
                return None
            raise

    def _patiently(self, cluster: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """One request; sent again while the server is still learning to serve a kind whose CRD has just come."""
        end = time.monotonic() + 15
        while True:
            try:
                return self.api(cluster).request(method, path, body)
            except ApiError as error:
                # 429 "storage is (re)initializing"; a POST to a collection is 404 only while the kind is not served.
                learning = error.status == 429 or (method == "POST" and "page not found" in error.message)
                if not learning or time.monotonic() > end:
                    raise
            time.sleep(0.2)

    def patch(self, cluster: str, path: str, body: Any) -> dict[str, Any]:
        """Merge patch (a dict) or JSON patch (a list)."""
        kind = "application/json-patch+json" if isinstance(body, list) else "application/merge-patch+json"
        return self.api(cluster).request("PATCH", path, body, content_type=kind)

    def create(self, cluster: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._patiently(cluster, "POST", path, body)

    def delete(self, cluster: str, path: str) -> None:
        try:
            self.api(cluster).request("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Look at the condition often until it is true; fails the test saying what never came."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.2)


def nothing_left(look: Callable[[], list[str]], seconds: float = 60) -> None:
    """Look until nothing is found; fails the test with what is still there at the end.

    For what a garbage collector may still be taking away when a playbook ends.
    """
    end = time.monotonic() + seconds
    while (left := look()) and time.monotonic() < end:
        time.sleep(0.5)
    assert not left, "\n".join(left)


@contextmanager
def edited(path: Path, change: Callable[[dict[str, Any]], None]) -> Iterator[Path]:
    """A changed copy of a YAML file, gone afterwards."""
    document = yaml.safe_load(path.read_text())
    change(document)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        copy.write_text(yaml.safe_dump(document))
        copy.chmod(0o600)
        yield copy


def missing(patterns: Sequence[str], text: str) -> list[str]:
    """The patterns that the text does not contain."""
    return [pattern for pattern in patterns if not re.search(pattern, text)]
