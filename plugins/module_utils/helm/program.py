# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the helm program with the same identity as the API requests, one command at a time.

Arguments and environment contain no secrets. Values are passed on standard input; kubeconfig and packed charts are
secret files. Helm and its children end with the process that started them, also when it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from typing import Any

from ..k8s.child_process import guarded, without_licences
from ..k8s.client import Cluster
from ..k8s.errors import ClusterError
from ..k8s.kubeconfig import context_alone
from ..k8s.printable import one_line
from ..k8s.progress import Progress
from ..k8s.secret_files import secret_files
from ..k8s.signals import Interrupts
from ..k8s.verdict import waiting

Json = dict[str, Any]

OLDEST = (3, 12)
TOO_NEW = (5, 0)

# What helm and the credential plugins of a kubeconfig need. HELM_KUBE* and HELM_NAMESPACE could select another cluster.
_ENVIRONMENT = re.compile(
    r"PATH|LD_LIBRARY_PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_\w+|TZ|TMPDIR|XDG_\w+|SSL_CERT_\w+|HELM_(?!KUBE|NAMESPACE|DEBUG)\w+|"
    r"(?i:https?_proxy|no_proxy|all_proxy)|DOCKER_CONFIG|REGISTRY_AUTH_FILE|KRB5\w*|SSH_AUTH_SOCK|"
    r"(?:AWS|AZURE|ARM|AAD|MSI|IDENTITY|GOOGLE|GCLOUD|CLOUDSDK|GKE|USE_GKE|OCI|DIGITALOCEAN|DOCTL|ALIBABA|IBMCLOUD|"
    r"TELEPORT|TSH|KUBELOGIN)_\w+"
)
# Grace periods in seconds: beyond helm's own timeout, and after SIGTERM.
_GRACE = 15.0


class HelmFailed(ClusterError):
    """Helm ended with an error."""


class Helm:
    """Runs helm for one cluster. ``scrub`` removes secrets from its output."""

    def __init__(
        self,
        cluster: Cluster,
        binary: str,
        driver: str,
        timeout: float,
        scrub: Callable[[str], str],
        progress: Callable[[str], None],
    ) -> None:
        self._cluster = cluster
        self._binary = binary
        self._timeout = timeout
        self._scrub = scrub
        self._progress = progress
        self._environment = environment(dict(os.environ), driver)
        self._checked = False

    def run(
        self, release: str, purpose: str, arguments: Iterable[str], values: Json | None = None, chart: bytes = b""
    ) -> str:
        """Standard output of one command. For messages: the release, and what helm does, such as "upgrade".

        ``values`` are passed as ``--values -``, a packed ``chart`` in place of the argument ``{chart}``. Raises
        HelmFailed with helm's error message.
        """
        self.check()
        config = context_alone(self._cluster.name, self._cluster.kubeconfig, self._cluster.context)
        with (
            Interrupts() as interrupts,
            secret_files({"kubeconfig": json.dumps(config).encode(), "chart": chart}) as files,
        ):
            command = [self._binary, *(files["chart"].path if each == "{chart}" else each for each in arguments)]
            command += ["--kubeconfig", files["kubeconfig"].path, "--kube-context", self._cluster.context]
            if values is not None:
                command += ["--values", "-"]
            stdin = json.dumps(values).encode() if values is not None else b""
            kept = [each.descriptor for each in files.values() if each.descriptor is not None]
            code, out, err = self._communicate(release, purpose, command, stdin, kept, interrupts)
        if code:
            raise self._failed(f"{release}: helm could not {purpose}", code, err or out)
        return out

    def check(self) -> None:
        """Raise ClusterError with the remedy when no supported version of helm is found."""
        if self._checked:
            return
        name = self._cluster.name
        where = shutil.which(self._binary, path=self._environment.get("PATH"))
        if where is None:
            raise ClusterError(
                f"{name}: the program '{self._binary}' is not found. Install Helm 3.12 or newer, "
                "or set binary_path (helm_binary) to its path",
                cluster=name,
            )
        command = [where, "version", "--template", "{{.Version}}"]
        try:
            with guarded(command, self._environment, _GRACE) as process:
                out, err = (each.decode("utf-8", "replace").strip() for each in process.communicate(timeout=30))
        except subprocess.TimeoutExpired:
            raise ClusterError(
                f"{name}: {where} did not report its version within 30 s. "
                "Set binary_path (helm_binary) to the path of Helm 3.12 or newer",
                cluster=name,
            ) from None
        # Helm built from source reports no patch version.
        version = re.match(r"v?(\d+)\.(\d+)", out)
        if version is None:
            reason = f" ({one_line(err)[:200]})" if err else ""
            raise ClusterError(
                f"{name}: {where} does not report a version of Helm 3 or 4{reason}. "
                "Set binary_path (helm_binary) to the path of Helm 3.12 or newer",
                cluster=name,
            )
        if not OLDEST <= (int(version[1]), int(version[2])) < TOO_NEW:
            raise ClusterError(
                f"{name}: {where} is Helm {out}; versions from 3.12 up to 4 are supported. "
                "Install one of them, or set binary_path (helm_binary) to its path",
                cluster=name,
            )
        self._binary, self._checked = where, True

    def _communicate(
        self, release: str, purpose: str, command: list[str], stdin: bytes, kept: list[int], interrupts: Interrupts
    ) -> tuple[int, str, str]:
        """(exit code, standard output, standard error) of helm."""
        report = Progress(self._cluster.name, self._progress)
        deadline = time.monotonic() + self._timeout + _GRACE
        rest: bytes | None = stdin
        with guarded(command, self._environment, _GRACE, kept) as process:
            while True:
                try:
                    out, err = process.communicate(rest, timeout=0.5)
                    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")
                except subprocess.TimeoutExpired:
                    rest = None
                if process.poll() is not None:  # a child of helm has its pipes
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                interrupts.check()
                report(waiting(f"{release}: waiting for helm to {purpose}"))
                if time.monotonic() > deadline:
                    raise HelmFailed(
                        f"{self._cluster.name}: {release}: helm could not {purpose} within {self._timeout:.0f} s. "
                        "Check that the cluster responds, or increase timeout",
                        cluster=self._cluster.name,
                    )

    def _failed(self, what: str, code: int, text: str) -> HelmFailed:
        text = self._scrub(text).strip()
        lines = [line for line in text.splitlines() if line.strip() and not line.startswith("WARNING:")]
        reason = " ".join(lines[-12:]).removeprefix("Error: ").removeprefix("INSTALLATION FAILED: ")
        if not reason:
            reason = f"helm was ended by {signal.Signals(-code).name}" if code < 0 else f"helm ended with code {code}"
        return HelmFailed(
            f"{self._cluster.name}: {what}: {reason.removeprefix('UPGRADE FAILED: ')}", cluster=self._cluster.name
        )


def environment(present: dict[str, str], driver: str) -> dict[str, str]:
    """The minimal environment of helm: no licence keys, no plugins, the storage driver of the release."""
    kept = {key: value for key, value in without_licences(present).items() if _ENVIRONMENT.fullmatch(key)}
    return {**kept, "HELM_NO_PLUGINS": "1", **({"HELM_DRIVER": driver} if driver else {})}
