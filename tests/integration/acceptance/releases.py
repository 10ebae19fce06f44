"""Helm releases of users in one cluster of the lab: their charts, their helm commands, and the module."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from acceptance.audit import Mark
from acceptance.site import REPO, Site, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.helm import helm_release

Json = dict[str, Any]

CANARY = "canary-5f1e7d-licence"

# Stands for helm: leaves its pid, its arguments and its environment behind, and is helm from then on.
WRAPPER = """#!/bin/sh
printf '%s\\n' "$$" >> "{log}"
printf '%s\\n' "$*" >> "{log}.arguments"
env >> "{log}.environment"
exec "{helm}" "$@"
"""
#: the module runs in a worker, as those of Ansible
FORK = "import os\nif os.fork():\n    os.wait()\n    raise SystemExit\n"
RUN = """
import json, sys
from ansible_collections.multicluster.gloo.plugins.module_utils.helm import helm_release
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError
try:
    print(json.dumps(helm_release.run(json.load(sys.stdin), False, lambda line: None)))
except ClusterError as error:
    sys.exit(error.msg)
"""


class People:
    """A namespace of its own with releases; everything is removed at the end."""

    def __init__(self, site: Site, folder: Path, namespace: str) -> None:
        self.site, self.folder, self.namespace = site, folder, namespace
        self.cluster = site.gateway_cluster
        self.program = str(site.inventory["all"]["vars"]["helm_binary"])
        self.log = folder / "helm.log"
        self.wrapper = folder / "helm"
        self.wrapper.write_text(WRAPPER.format(log=self.log, helm=self.program))
        self.wrapper.chmod(0o755)

    # -- charts

    def chart(self, version: str = "1.0.0", *, name: str = "edge", hook: bool = False, **objects: str) -> Path:
        """A chart with a ConfigMap of all its values; ``hook``: a Job before each install and upgrade that never ends.

        ``objects``: further templates by name.
        """
        folder = self.folder / f"{name}-{version}{'-hook' if hook else ''}{''.join(sorted(objects))}"
        if folder.exists():
            return folder
        files = {
            "Chart.yaml": yaml.safe_dump({"apiVersion": "v2", "name": name, "version": version}),
            "values.yaml": yaml.safe_dump({"colour": "grey"}),
            "templates/settings.yaml": SETTINGS.replace("VERSION", version),
            **{f"templates/{key}.yaml": text for key, text in objects.items()},
        }
        if hook:
            files["templates/hook.yaml"] = HOOK
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return folder

    # -- other people

    def helm(self, *arguments: str, values: Json | None = None, code: int = 0, driver: str = "") -> str:
        """Helm as a person runs it."""
        command = [self.program, *arguments, "--namespace", self.namespace, "--kube-context", self.cluster]
        stdin = json.dumps(values) if values is not None else None
        done = subprocess.run(
            [*command, *(["--values", "-"] if values is not None else [])],
            input=stdin,
            env=self.site.environment({"HELM_DRIVER": driver or "secret"}),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
        return done.stdout

    def values(self, release: str = "edge", driver: str = "") -> Json:
        """The values of its users, as `helm get values` prints them."""
        return json.loads(self.helm("get", "values", release, "--output", "json", driver=driver)) or {}

    def history(self, release: str = "edge", driver: str = "") -> list[tuple[int, str, str]]:
        """(revision, status, chart) as `helm history` prints them."""
        rows = json.loads(self.helm("history", release, "--output", "json", driver=driver))
        return [(row["revision"], row["status"], row["chart"]) for row in rows]

    def settings(self, release: str = "edge") -> Json | None:
        """What the chart made of the values."""
        found = self.site.get(self.cluster, f"/api/v1/namespaces/{self.namespace}/configmaps/{release}-settings")
        return found and {"version": found["data"]["version"], "values": json.loads(found["data"]["values"])}

    def note(self, release: str = "edge") -> Json | None:
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/multicluster.gloo.{release}"
        found = self.site.get(self.cluster, path)
        return found and found["metadata"]["annotations"]

    # -- the module

    def params(self, **options: Any) -> Json:
        params: Json = {key: row.get("default") for key, row in helm_release.ARGUMENT_SPEC.items()}
        return {
            **params,
            "kubeconfig": str(self.site.kubeconfig),
            "context": self.cluster,
            "name": "edge",
            "namespace": self.namespace,
            "binary_path": str(self.wrapper),
            "timeout": "60s",
            **{key: str(value) if isinstance(value, Path) else value for key, value in options.items()},
        }

    def run(self, *, check: bool = False, **options: Any) -> Json:
        return helm_release.run(self.params(**options), check, lambda line: None)

    def started(self) -> int:
        """Processes of helm that the module has started so far."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Nothing is written on the cluster in the block."""
        mark = Mark(self.site)
        yield
        assert [str(write) for write in mark.writes() if write.namespace == self.namespace] == []

    def interrupted(self, victim: str, **options: Any) -> subprocess.Popen[str]:
        """A run of the module in another process; the victim (helm, module, parent) is killed in the middle."""
        before = self.started()
        process = subprocess.Popen(
            [sys.executable, "-c", f"{FORK}{RUN}" if victim == "parent" else RUN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.site.environment({"PYTHONPATH": str(REPO / ".cache" / "collections")}),
        )
        assert process.stdin
        process.stdin.write(json.dumps(self.params(**options)))
        process.stdin.close()
        wait_until(self._pending, "a pending record")
        helm = int(self.log.read_text().splitlines()[-1])
        assert self.started() > before
        os.kill(helm if victim == "helm" else process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        wait_until(lambda: not _alive(helm), "helm ended")
        return process

    def _pending(self) -> bool:
        selector = "labelSelector=owner%3Dhelm%2Cstatus%20in%20(pending-install%2Cpending-upgrade)"
        found = self.site.get(self.cluster, f"/api/v1/namespaces/{self.namespace}/secrets?{selector}")
        hooks = self.site.get(self.cluster, f"/apis/batch/v1/namespaces/{self.namespace}/jobs") or {}
        return bool((found or {}).get("items")) and bool(hooks.get("items"))

    # -- coming and going

    def come(self) -> None:
        body = {"kind": "Namespace", "metadata": {"name": self.namespace}}
        self.site.create(self.cluster, "/api/v1/namespaces", body)

    def go(self) -> None:
        self.site.delete(self.cluster, f"/api/v1/namespaces/{self.namespace}")

    def is_gone(self) -> bool:
        return self.site.get(self.cluster, f"/api/v1/namespaces/{self.namespace}") is None


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def leftovers(folder: Path, since: float, text: str) -> list[str]:
    """Files in the folder, written since, that hold the text."""
    found = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.stat().st_mtime >= since and text.encode() in path.read_bytes():
                found.append(str(path))
        except OSError:
            continue
    return found


def now() -> float:
    return time.time() - 1


SETTINGS = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
data:
  version: "VERSION"
  values: {{ .Values | toJson | quote }}
"""
HOOK = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-hook
  annotations:
    helm.sh/hook: pre-install,pre-upgrade
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  template:
    spec:
      restartPolicy: Never
      nodeSelector: {nowhere: "true"}
      containers: [{name: hook, image: registry.example.com/hook:1}]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {matchLabels: {app: edge}}
  template:
    metadata: {labels: {app: edge}}
    spec: {containers: [{name: edge, image: registry.example.com/edge:1}]}
"""


def crd(plural: str, group: str = "example.com", guard: str = "") -> str:
    """A template of a CRD, left out when the value ``guard`` is false."""
    text = yaml.safe_dump(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {
                "group": group,
                "scope": "Namespaced",
                "names": {"plural": plural, "kind": plural.capitalize()},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    }
                ],
            },
        }
    )
    return f'{{{{- if ne (toString .Values.{guard}) "false" }}}}\n{text}{{{{- end }}}}\n' if guard else text


__all__ = ["CANARY", "DEPLOYMENT", "REPO", "People", "crd", "leftovers", "now"]
