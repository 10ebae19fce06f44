"""Plays the steps of a site with the lab's helm and kubectl, as another team would, without the collection."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from lab import charts, settings
from lab.control_plane.lab import Lab
from lab.errors import LabError
from lab.paths import REPOSITORY
from lab.sites.site import TOOLS, WITH_RECORDS, Scope, Site, Step, load_part, marked
from lab.vendor.gloo_mesh import certificates

ISTIO_CHARTS = {"base": "base", "istiod": "istio-control/istio-discovery", "gateway": "gateway"}
TIMEOUT = 600  # seconds for one command; those of kubectl end before


class Player:
    """Plays sites on a running lab. Files that it needs, and the inventory variables of a site, are in `home`."""

    def __init__(self, home: Path, show: Callable[[str], None]) -> None:
        self._home, self._show = home, show
        self._folder = home / "site"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._lab = Lab.load(home)
        self._state = json.loads((home / "lab.json").read_text())
        self._roots: dict[str, dict[str, bytes]] = {}
        self._read: dict[str, Any] = {}  # by all clusters
        self._read_by: dict[str, dict[str, Any]] = {name: {} for name in self._lab.clusters}
        for name in self._lab.clusters:
            config = yaml.safe_load((home / "kubeconfig").read_text())
            self._write(f"{name}.kubeconfig", yaml.safe_dump({**config, "current-context": name}))

    def play(self, site: Site) -> None:
        """Raises LabError for a step that fails."""
        settings.change(self._home, [settings.parse(f"{key}={value}") for key, value in site.lab.items()])
        self._write_variables(site)
        self._play(site.steps, Scope(), "all")

    def _write_variables(self, site: Site) -> None:
        """The inventory variables and the data of the site's owner, beside the lab's inventory."""
        for path, content in {
            "group_vars/all.yml": site.variables,
            "site_data.yml": site.data,
            **{f"host_vars/{host}.yml": variables for host, variables in site.hosts.items()},
        }.items():
            file = self._home / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(yaml.safe_dump(Scope().filled(content, self._known(self._lab.management.name))))

    def _play(self, steps: list[Step], scope: Scope, on: str) -> None:
        for step in steps:
            clusters = self._clusters(step.get("where") or on, scope)
            if "when" in step:
                clusters = [name for name in clusters if scope.filled(step["when"], self._known(name))]
            if "use" in step:
                defaults, inner = load_part(step["use"])
                if clusters:
                    self._show(f"{', '.join(clusters)}: {step['use']}")
                    self._play(inner, Scope(step.get("with") or {}, defaults, scope), step.get("where") or on)
                continue
            with ThreadPoolExecutor(max(len(clusters), 1)) as pool:
                running = [pool.submit(self._step, step, scope, name) for name in clusters]
            outputs = [each.result() for each in running]
            if "as" in step and len(clusters) == 1:
                self._read[scope.filled(step["as"], {})] = outputs[0]

    def _clusters(self, on: str, scope: Scope) -> list[str]:
        management, workloads = self._lab.management.name, [cluster.name for cluster in self._lab.workloads]
        named = {
            "all": [management, *workloads],
            "management": [management],
            "workloads": workloads,
            "gateway": workloads[:1],
            "remote": workloads[-1:],
        }
        name = scope.filled(on, {})
        if name not in named and name not in self._lab.clusters:
            raise LabError(f"no cluster {name}; a step may be on {', '.join([*named, *self._lab.clusters])}")
        return named.get(name) or [name]

    def _known(self, cluster: str) -> dict[str, Any]:
        return {
            **self._read,
            **self._read_by[cluster],
            "cluster": cluster,
            "management": self._lab.management.name,
            "workloads": " ".join(each.name for each in self._lab.workloads),
            "gateway_api_crds": self._state["gateway_api_crds"],
        }

    def _step(self, step: Step, scope: Scope, cluster: str) -> Any:
        filled = scope.filled(
            {key: value for key, value in step.items() if key not in ("where", "when")}, self._known(cluster)
        )
        if "helm" in filled:
            return self._helm(cluster, **filled["helm"])
        if "apply" in filled:
            return self._apply(cluster, filled["apply"], filled.get("by") or "kubectl", "site", "default")
        value: Any
        if "issue" in filled:
            value = self._issue(cluster, **filled["issue"])
        elif "webhooks" in filled:
            value = self._lab.istiod_port(cluster, filled["webhooks"])
        else:
            value = self._run(cluster, ["bash", "-euo", "pipefail", "-c", filled["run"]]).strip()
        if "as" in filled:
            self._read_by[cluster][filled["as"]] = value
        return value

    def _helm(
        self,
        cluster: str,
        release: str,
        namespace: str,
        chart: str,
        version: str = "",
        values: Any = None,
        by: str = "helm",
        fails: bool = False,
        interrupted: bool = False,
    ) -> None:
        files = []
        for number, each in enumerate(values if isinstance(values, list) else [values or {}]):
            files += ["--values", self._write(f"{cluster}-{release}-{number}.json", json.dumps(each))]
        place = [release, str(self._chart(chart, version)), "--namespace", namespace, *files]
        quick = ["--disable-openapi-validation"]  # saves requesting the schema
        if by in WITH_RECORDS:
            marks = ["--post-renderer", self._post_renderer(release, namespace)] if by == "flux" else []
            command = ["helm", "upgrade", "--install", "--create-namespace", *quick, *marks, *place]
            try:
                self._run(cluster, command)
            except LabError:
                if not fails:
                    raise
            if interrupted:
                self._interrupt(cluster, release, namespace)
            return
        rendered = self._run(cluster, ["helm", "template", "--include-crds", *place])
        objects = [obj for obj in yaml.safe_load_all(rendered) if obj]
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        self._apply(cluster, [space, *objects], by, release, namespace)

    def _interrupt(self, cluster: str, release: str, namespace: str) -> None:
        """Helm's records as they are when it was killed an hour ago, after it had applied the objects."""
        selector = ["--namespace", namespace, "--selector", f"owner=helm,name={release}"]
        found = json.loads(self._run(cluster, ["kubectl", "get", "secrets", *selector, "--output", "json"]))["items"]
        newest_first = sorted(found, key=lambda each: -int(each["metadata"]["labels"]["version"]))
        pending = "pending-upgrade" if len(found) > 1 else "pending-install"
        for secret, status in zip(newest_first, (pending, "deployed"), strict=False):
            changed = json.dumps(with_status(secret, status))
            self._run(cluster, ["kubectl", "replace", "--filename", "-"], changed)

    def _chart(self, name: str, version: str) -> Path:
        """The lab's chart, or a copy with another version. `istio/NAME` is one of Istio's."""
        group, _, base = name.rpartition("/")
        source = self._lab.istio_charts / ISTIO_CHARTS[base] if group == "istio" else charts.SOURCES / base
        if not source.is_dir():
            raise LabError(f"no chart {name}")
        if not version:
            return source
        chart = yaml.safe_load((source / "Chart.yaml").read_text())["name"]
        package = self._folder / f"{chart}-{version}.tgz"
        if not package.exists():
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                numbers = ["--version", version, "--app-version", version]
                self._run("", ["helm", "package", str(source), *numbers, "--destination", folder])
                Path(folder, package.name).replace(package)
        return package

    def _post_renderer(self, release: str, namespace: str) -> str:
        """A program that marks a release's objects as Flux does."""
        code = (
            "import sys, yaml; from lab.sites.site import marked; "
            f"objects = marked([o for o in yaml.safe_load_all(sys.stdin) if o], 'flux', {release!r}, {namespace!r}); "
            "yaml.safe_dump_all(objects, sys.stdout)"
        )
        path = self._write(f"{release}-flux", f'#!/bin/sh\ncd "{REPOSITORY}" && exec "{sys.executable}" -c "{code}"\n')
        Path(path).chmod(0o700)
        return path

    def _apply(self, cluster: str, objects: list[Any], by: str, release: str, namespace: str) -> None:
        command = ["kubectl", "apply", "--filename", "-"]
        if by != "kubectl":
            objects = marked(objects, by, release, namespace)
            command += ["--server-side", "--force-conflicts", "--namespace", namespace]
            command += ["--field-manager", TOOLS[by].manager]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self._run(cluster, command, document)

    def _issue(self, cluster: str, ca: str, names: list[str] | None = None) -> dict[str, str]:
        root = self._roots.setdefault(ca, certificates.mesh_root(ca, 3650))
        data = _server_certificate(root, names) if names else certificates.cacerts(cluster, root)
        return {key: base64.b64encode(value).decode() for key, value in data.items()}

    def _write(self, name: str, text: str) -> str:
        """A private file; returns its path."""
        path = self._folder / name
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        return str(path)

    def _run(self, cluster: str, command: list[str], text: str | None = None) -> str:
        """The output of a program; raises LabError when it fails."""
        environment = {
            **os.environ,
            "KUBECONFIG": str(self._folder / f"{cluster}.kubeconfig"),
            "PATH": f"{self._home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
            **{f"HELM_{kind}_HOME": str(self._folder / "helm") for kind in ("CACHE", "CONFIG", "DATA")},
        }
        try:
            done = subprocess.run(
                command,
                env=environment,
                **({"stdin": subprocess.DEVNULL} if text is None else {"input": text}),
                capture_output=True,
                text=True,
                timeout=TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{cluster}: {' '.join(command)[:300]}: not finished after {TIMEOUT} s") from error
        if done.returncode:
            raise LabError(f"{cluster}: {' '.join(command)[:300]}:\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def with_status(secret: Any, status: str) -> Any:
    """A Secret with a record of Helm (JSON, by gzip and base64) in another status; a pending one is an hour old."""
    record = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    record["info"]["status"] = status
    if status.startswith("pending"):
        record["info"]["last_deployed"] = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    text = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(record).encode()))).decode()
    metadata = secret["metadata"]
    labels = {**metadata["labels"], "status": status}
    return {**secret, "metadata": {**metadata, "labels": labels}, "data": {**secret["data"], "release": text}}


def _server_certificate(root: dict[str, bytes], names: list[str]) -> dict[str, bytes]:
    """Data of a TLS Secret for these names, signed by the root."""
    key = certificates.ec_key()
    issuer = x509.load_pem_x509_certificate(root["tls.crt"]), certificates.load_key(root["tls.key"])
    leaf = certificates.certificate(names[0], key, issuer, names=names)
    return {"ca.crt": root["tls.crt"], "tls.crt": certificates.pem(leaf), "tls.key": certificates.key_pem(key)}
