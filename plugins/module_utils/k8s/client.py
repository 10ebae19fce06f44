# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to one cluster: an explicit kubeconfig and context, plain dicts in and out.

The official ``kubernetes`` package loads the kubeconfig and does authentication, TLS and streams; the requests
themselves are plain HTTP on its connection pool, so no model classes and no discovery for known kinds.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode

from .errors import (
    BadKubeconfig,
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    MissingLibrary,
    NotFound,
    NotServed,
    Timeout,
    Unreachable,
)
from .fields import Json
from .kinds import Kind, api_path, group_of, known
from .kubeconfig import IMPORT_ERROR as KUBECONFIG_IMPORT_ERROR
from .kubeconfig import Access
from .progress import Progress
from .readiness import waiting
from .status_errors import explain, transient_pause

try:
    import urllib3
    from kubernetes.client.exceptions import ApiException
    from kubernetes.stream import ws_client

    IMPORT_ERROR: str | None = KUBECONFIG_IMPORT_ERROR
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

__all__ = [
    "BadKubeconfig",
    "Cluster",
    "ClusterError",
    "CLUSTER_SPEC",
    "CLUSTERS_SPEC",
    "Conflict",
    "connect",
    "FIELD_MANAGER",
    "Forbidden",
    "Invalid",
    "Kind",
    "MissingLibrary",
    "NotFound",
    "NotServed",
    "Timeout",
    "Unreachable",
]

Jsons = list[Json]
Names = list[str]

FIELD_MANAGER = "multicluster.gloo"

# Options every module of the collection has; documented in the doc fragment "cluster".
CLUSTER_SPEC: dict[str, Any] = {
    "kubeconfig": {"type": "path", "required": True},
    "context": {"type": "str", "required": True},
    "cluster": {"type": "str"},
}

# Option of the modules that look at all clusters at once; documented in the doc fragment "cluster.all".
CLUSTERS_SPEC: dict[str, Any] = {
    "clusters": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "kubeconfig": {"type": "path", "required": True},
            "context": {"type": "str", "required": True},
            "role": {"type": "str", "choices": ["management", "workload"], "default": "workload"},
            "gateway": {"type": "bool", "default": False},
        },
    },
}

_APPLY = "application/apply-patch+yaml"


def connect(params: dict[str, Any], tell: Callable[[str], None] = lambda line: None) -> Cluster:
    """The cluster that a module's common options name; use it in a ``with`` statement."""
    return Cluster(params["kubeconfig"], params["context"], params.get("cluster"), tell=tell)


class Cluster:
    """A connection to one cluster. Reading the kubeconfig is all that happens before the first request.

    ``requests`` and ``writes`` count HTTP requests (dry-run ones are no writes). Thread-safe: watches run in threads.
    Transient refusals (429, 503, webhook not answering yet, namespace terminating) are tried again for ``patience``
    seconds, which is told; an API server that cannot be reached fails after a few.
    """

    def __init__(
        self,
        kubeconfig: str,
        context: str,
        name: str | None = None,
        *,
        patience: float = 20.0,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name = name or context
        self.context = context
        self.kubeconfig = kubeconfig
        self.patience = patience
        self.tell = tell
        self.requests = 0
        self.writes = 0
        self.server_time: float | None = None
        self._lock = threading.Lock()
        self._discovered: dict[str, dict[str, Kind]] = {}
        if IMPORT_ERROR:
            raise MissingLibrary(
                f"{self.name}: the Python package 'kubernetes' cannot be imported by {sys.executable}: "
                f"{IMPORT_ERROR.strip().splitlines()[-1]}. Install it there with: python -m pip install kubernetes",
                cluster=self.name,
            )
        self._access = Access(self.name, kubeconfig, context)
        self.server = self._access.server

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection of this cluster."""
        self._access.close()

    # -- kinds -------------------------------------------------------------------------------------------------------

    def kind(self, api_version: str, kind: str) -> Kind:
        """Where the kind lives. Raises NotServed when the group, version or kind is unknown to the API server."""
        found = known(api_version, kind)
        if found:
            return found
        if api_version not in self._discovered:
            try:
                answer = self.request("GET", api_path(api_version), what=api_version)
            except (NotFound, NotServed):
                raise self._not_served(api_version, kind) from None
            self._discovered[api_version] = {
                row["kind"]: Kind(api_version, row["kind"], row["name"], bool(row["namespaced"]))
                for row in answer.get("resources", ())
                if "/" not in row["name"]
            }
        found = self._discovered[api_version].get(kind)
        if not found:
            # A CRD may be added while this connection lives: forget, so that the next question is a new one.
            del self._discovered[api_version]
            raise self._not_served(api_version, kind)
        return found

    def learn(self, kind: Kind) -> None:
        """Tell where a kind will live whose CRD is not served yet."""
        self._discovered.setdefault(kind.api_version, {})[kind.kind] = kind

    def served(self, api_version: str, kind: str) -> bool:
        """True when the API server serves the kind; asks it even for kinds of the table."""
        try:
            answer = self.request("GET", api_path(api_version), what=api_version)
        except (NotFound, NotServed):
            return False
        return any(row["kind"] == kind for row in answer.get("resources", ()))

    def served_versions(self, group: str) -> list[str]:
        """Served versions of an API group, the preferred one first; empty when the group is not served."""
        try:
            answer = self.request("GET", f"/apis/{group}", what=group)
        except (NotFound, NotServed):
            return []
        preferred = answer.get("preferredVersion", {}).get("version")
        versions = [row["version"] for row in answer.get("versions", ())]
        return sorted(versions, key=lambda version: version != preferred)

    def api_versions(self) -> Names:
        """Every API group in its preferred version, and "v1"."""
        groups = self.request("GET", "/apis", what="API groups").get("groups", ())
        return ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]

    def resources(self, api_version: str) -> Iterator[tuple[Kind, set[str]]]:
        """The kinds of an API version with their verbs; none when its API server does not answer."""
        try:
            answer = self.request("GET", api_path(api_version), what=api_version)
        except (NotFound, NotServed):
            return
        for row in answer.get("resources", ()):
            if "/" not in row["name"]:
                kind = Kind(api_version, row["kind"], row["name"], bool(row["namespaced"]))
                self.learn(kind)
                yield kind, set(row.get("verbs", ()))

    def _not_served(self, api_version: str, kind: str) -> NotServed:
        return NotServed(
            f"{self.name}: {kind}: the API server does not serve {api_version} {kind}. "
            f"Install the CRDs of {group_of(api_version) or 'the core group'} or check apiVersion and kind",
            cluster=self.name,
            api_version=api_version,
            kind=kind,
        )

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """The object, or None when it does not exist. Raises NotServed when its kind is not served."""
        where = self.kind(api_version, kind)
        try:
            return self.request("GET", where.url(namespace, name), what=_title(kind, namespace, name), kind=where)
        except NotFound:
            return None

    def list(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        page: int = 500,
    ) -> Jsons:
        """All objects of a kind, of one namespace or (None) of all. ``labels``, ``fields``: selectors as text.

        ``page``: objects per request, 0 for all in one.
        """
        return self.list_at(api_version, kind, namespace, labels, fields, page)[0]

    def list_at(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        page: int = 500,
    ) -> tuple[Jsons, str]:
        """Like list(), with the resourceVersion a watch can start from."""
        where = self.kind(api_version, kind)
        items: Jsons = []
        query: dict[str, str] = {"limit": str(page)}
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        while True:
            answer = self.request("GET", where.url(namespace), query, what=_title(kind, namespace), kind=where)
            for item in answer.get("items") or ():
                # Items of a list carry neither of the two.
                item.setdefault("apiVersion", api_version)
                item.setdefault("kind", kind)
                items.append(item)
            token = answer.get("metadata", {}).get("continue")
            if not token:
                return items, answer.get("metadata", {}).get("resourceVersion", "")
            query["continue"] = token

    def watch(
        self,
        api_version: str,
        kind: str,
        namespace: str | None = None,
        labels: str | None = None,
        resource_version: str = "",
        timeout: float = 60.0,
        fields: str | None = None,
        opened: Callable[[Any], None] | None = None,
    ) -> Iterator[tuple[str, Json]]:
        """Yield (ADDED | MODIFIED | DELETED | BOOKMARK, object) until ``timeout`` or the server ends the stream.

        Raises Timeout with reason Expired when ``resource_version`` is too old: list again. ``opened`` is given
        the response, whose ``shutdown()`` ends the stream from another thread.
        """
        where = self.kind(api_version, kind)
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, int(timeout)))}
        if resource_version:
            query["resourceVersion"] = resource_version
        if labels:
            query["labelSelector"] = labels
        if fields:
            query["fieldSelector"] = fields
        response = self._open("GET", where.url(namespace), query, _title(kind, namespace), where, read=timeout + 5)
        if opened is not None:
            opened(response)
        rest = b""
        try:
            for chunk in response.stream(None, decode_content=True):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if not line.strip():
                        continue
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        if status.get("code") == 410:
                            raise Timeout(f"{self.name}: {kind}: watch expired", cluster=self.name, reason="Expired")
                        raise explain(self.name, self.server, _title(kind, namespace), status, status.get("code", 500))
                    yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            # A broken stream is an ended stream: the caller lists and watches again.
            return
        finally:
            response.close()

    def version(self) -> str:
        """The API server's version ("v1.36.3")."""
        return str(self.request("GET", "/version", what="version").get("gitVersion", ""))

    def uid(self) -> str:
        """What makes a cluster itself: the UID of its namespace kube-system."""
        found = self.get("v1", "Namespace", "kube-system")
        if found is None:
            raise ClusterError(f"{self.name}: namespace kube-system does not exist on {self.server}", cluster=self.name)
        return str(found["metadata"]["uid"])

    # -- writing -----------------------------------------------------------------------------------------------------

    def apply(
        self,
        obj: Json,
        *,
        force: bool = False,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
        strict: bool = True,
    ) -> Json:
        """Server-side apply; the object as stored (or as it would be). Raises Conflict, Invalid, NotServed, ..."""
        where, name, namespace = self._address(obj)
        query = {
            "fieldManager": manager,
            "force": "true" if force else "false",
            "fieldValidation": "Strict" if strict else "Warn",
        }
        return self.request(
            "PATCH",
            where.url(namespace, name),
            query,
            obj,
            content_type=_APPLY,
            dry_run=dry_run,
            what=_title(where.kind, namespace, name),
            kind=where,
        )

    def replace(self, obj: Json, *, manager: str = FIELD_MANAGER, dry_run: bool = False) -> Json:
        """PUT the whole object; its metadata.resourceVersion guards against a change in between (Conflict)."""
        where, name, namespace = self._address(obj)
        return self.request(
            "PUT",
            where.url(namespace, name),
            {"fieldManager": manager},
            obj,
            dry_run=dry_run,
            what=_title(where.kind, namespace, name),
            kind=where,
        )

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        dry_run: bool = False,
        propagation: str = "Background",
    ) -> bool:
        """Delete; False when it was not there (or its kind is not served). ``uid`` protects a namesake made since."""
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if uid:
            body["preconditions"] = {"uid": uid}
        try:
            where = self.kind(api_version, kind)
            self.request(
                "DELETE",
                where.url(namespace, name),
                None,
                body,
                dry_run=dry_run,
                what=_title(kind, namespace, name),
                kind=where,
            )
        except (NotFound, NotServed):
            return False
        return True

    def _address(self, obj: Json) -> tuple[Kind, str, str | None]:
        where = self.kind(obj["apiVersion"], obj["kind"])
        meta = obj["metadata"]
        return where, meta["name"], meta.get("namespace") if where.namespaced else None

    # -- pods --------------------------------------------------------------------------------------------------------

    def logs(self, namespace: str, pod: str, container: str, lines: int, previous: bool = False) -> str:
        """The last lines a container wrote; with ``previous`` those of the one before its last restart."""
        where = self.kind("v1", "Pod")
        query = {"container": container, "tailLines": str(lines), "previous": "true" if previous else "false"}
        what = f"{_title('Pod', namespace, pod)}: log of container {container}"
        response = self._open("GET", f"{where.url(namespace, pod)}/log", query, what, where)
        try:
            return bytes(response.data).decode("utf-8", "replace")
        finally:
            response.release_conn()

    def pod_socket(self, namespace: str, pod: str, port: int) -> Any:
        """A connected socket to a Pod's port through the API server (port-forward). Close it after use."""
        what = _title("Pod", namespace, pod)
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"
        try:
            # Without CoreV1Api: that imports every model class, about a second in each new process.
            self._count("GET", False)
            with self._access.files() as configuration:
                forward = ws_client.portforward_call(
                    configuration,
                    "GET",
                    self.server + path,
                    query_params=[("ports", str(port))],
                    headers={key.lower(): value for key, value in self._access.headers().items()},
                )
            sock = forward.socket(port)
        except ApiException as exc:
            raise self._stream_error(what, exc) from exc
        except Exception as exc:
            raise ClusterError(f"{self.name}: {what}: port-forward to {port} failed: {exc}", cluster=self.name) from exc
        sock.setblocking(True)
        return sock

    def _stream_error(self, what: str, exc: Exception) -> ClusterError:
        """The API server's answer, which the kubernetes package hides behind status 0 and a text with its headers."""
        refusal = exc.__context__
        code = getattr(refusal, "status_code", None)
        if isinstance(code, int):
            return explain(self.name, self.server, what, _status(getattr(refusal, "resp_body", None) or b""), code)
        return ClusterError(f"{self.name}: {what}: port-forward failed: {refusal or exc}", cluster=self.name)

    # -- HTTP --------------------------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Json | None = None,
        *,
        content_type: str = "application/json",
        dry_run: bool = False,
        what: str = "",
        kind: Kind | None = None,
    ) -> Json:
        """One request, its JSON answer. The lowest level: use it for paths no method above covers."""
        if dry_run:
            query = {**(query or {}), "dryRun": "All"}
        response = self._open(method, path, query, what, kind, body=body, content_type=content_type, write=not dry_run)
        try:
            data = response.data
        finally:
            response.release_conn()
        return json.loads(data) if data else {}

    def _open(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None,
        what: str,
        kind: Kind | None,
        *,
        body: Json | None = None,
        content_type: str = "application/json",
        write: bool = False,
        read: float = 30.0,
    ) -> Any:
        url = self.server + quote(path) + (f"?{urlencode(query)}" if query else "")
        payload = json.dumps(body).encode() if body is not None else None
        deadline = time.monotonic() + self.patience
        report = Progress(self.name, self.tell)
        attempt = 0
        while True:
            attempt += 1
            headers = {"Accept": "application/json", "User-Agent": FIELD_MANAGER}
            if payload is not None:
                headers["Content-Type"] = content_type
            try:
                headers.update(self._access.headers())
                self._count(method, write)
                response = self._access.pool.request(
                    method,
                    url,
                    body=payload,
                    headers=headers,
                    preload_content=False,
                    retries=False,
                    redirect=False,
                    timeout=urllib3.Timeout(connect=5.0, read=read),
                )
            except (urllib3.exceptions.HTTPError, OSError) as exc:
                # One more try for a kept-alive connection that the server closed, or a server just restarting. A POST
                # may have been taken; everything else here says the same when said twice.
                if attempt < 3 and method != "POST" and not _hopeless(exc):
                    time.sleep(0.3 * attempt)
                    continue
                raise self._unreachable(exc) from exc
            self._note_time(response.headers.get("Date"))
            if response.status < 400:
                return response
            status = _status(response.data)
            response.release_conn()
            pause = transient_pause(status, response.status, response.headers.get("Retry-After"), attempt)
            if pause is not None and time.monotonic() + pause < deadline:
                report(waiting(f"{what or path}: {status.get('message') or f'HTTP {response.status}'}"))
                time.sleep(pause)
                continue
            if response.status == 404 and kind is not None and not (status.get("details") or {}).get("name"):
                # No Status of an object: the path itself does not exist, or its namespace (then details name that).
                raise self._not_served(kind.api_version, kind.kind)
            raise explain(self.name, self.server, what, status, response.status)

    def _count(self, method: str, write: bool) -> None:
        with self._lock:
            self.requests += 1
            if write and method != "GET":
                self.writes += 1

    def _note_time(self, date: str | None) -> None:
        if date:
            try:
                self.server_time = parsedate_to_datetime(date).timestamp()
            except (TypeError, ValueError):
                pass

    def _unreachable(self, exc: Exception) -> Unreachable:
        reason = _network_reason(exc)
        return Unreachable(
            f"{self.name}: the API server {self.server} (context {self.context}) does not answer: {reason}. "
            "Check that the cluster runs, that this machine can reach the address, and that the kubeconfig is current",
            cluster=self.name,
            server=self.server,
            reason=reason,
        )


def _title(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    if not name:
        return f"{kind} in {namespace}" if namespace else kind
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def _status(data: bytes) -> Json:
    try:
        parsed = json.loads(data)
    except ValueError:
        return {"message": data.decode(errors="replace").strip()[:300]}
    return parsed if isinstance(parsed, dict) else {"message": str(parsed)[:300]}


def _hopeless(exc: Exception) -> bool:
    """No second try will help: the name is unknown, the certificate wrong, or nobody answered in five seconds."""
    kinds = urllib3.exceptions
    if isinstance(exc, kinds.NewConnectionError):  # a ConnectTimeoutError too, but mostly a refused connection
        return isinstance(exc, kinds.NameResolutionError)
    return isinstance(exc, (kinds.SSLError, kinds.TimeoutError))


def _network_reason(exc: Exception) -> str:
    cause = getattr(exc, "reason", None)
    text = str(cause if isinstance(cause, Exception) else exc)
    for known_text, plain in (
        ("Connection refused", "connection refused"),
        ("CERTIFICATE_VERIFY_FAILED", "the server's certificate does not fit the kubeconfig's CA"),
        ("timed out", "no answer in time"),
        ("Name or service not known", "its name is unknown"),
        ("Temporary failure in name resolution", "its name cannot be resolved"),
        ("No route to host", "no route to host"),
        ("Network is unreachable", "network unreachable"),
        ("certificate expired", "the client certificate has expired"),
    ):
        if known_text in text:
            return plain + (f" ({text.rsplit('_ssl.c', 1)[0].strip(' (')})" if plain.startswith("the server's") else "")
    return " ".join(text.split())[:200]
