# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Client of one cluster: objects are plain dicts, and discovery is used only for unknown kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import lease
from .errors import ApiUnavailable, ClusterError, Forbidden, NotFound, NotServed, Timeout, Unreachable
from .faults import APPLY
from .fields import Json, condition, from_json, mapping, mappings, spec_of, title
from .kinds import Kind, api_path, known
from .progress import one_line
from .status_errors import explain
from .transport import FIELD_MANAGER, Transport, not_served

Jsons = list[Json]
Names = list[str]
Resources = list[tuple[Kind, set[str]]]

# Options every module of the collection has; documented in the doc fragment "cluster".
CLUSTER_SPEC: dict[str, Any] = {
    "kubeconfig": {"type": "path", "required": True},
    "context": {"type": "str", "required": True},
    "cluster": {"type": "str"},
}

# Option of the modules that work on all clusters at once; documented in the doc fragment "cluster.all".
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

_CHANGES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


def connect(params: dict[str, Any], progress: Callable[[str], None] = lambda line: None) -> Cluster:
    """The cluster of a module's common options; use it in a ``with`` statement.

    No request outlives the module's own time limit.
    """
    limit = params.get("wait_timeout") or params.get("timeout")
    within = float(limit) if isinstance(limit, (int, float)) and limit > 0 else float("inf")
    return Cluster(
        params["kubeconfig"], params["context"], params.get("cluster"), progress=progress, request_within=within
    )


class Cluster(Transport):
    """A connection to one cluster; close it, or use it in a ``with`` statement."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._discovered: dict[str, dict[str, Kind]] = {}

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def request(
        self, method: str, path: str, query: dict[str, str] | None = None, body: Json | None = None, **options: Any
    ) -> Json:
        """See Transport. Before a write, the run takes the Lease of its site, if it has one."""
        if method != "GET" and not options.get("dry_run"):
            lease.before_write()
        return super().request(method, path, query, body, **options)

    # -- kinds -------------------------------------------------------------------------------------------------------

    def kind(self, api_version: str, kind: str) -> Kind:
        """API path and scope of the kind. Raises NotServed when its group, version or kind is not served."""
        found = known(api_version, kind)
        if found:
            return found
        if api_version not in self._discovered:
            self.resources(api_version)
        found = self._discovered.get(api_version, {}).get(kind)
        if not found:
            # Its CRD may be installed during this connection: ask again next time.
            self._discovered.pop(api_version, None)
            raise not_served(self.name, api_version, kind)
        return found

    def learn(self, kind: Kind) -> None:
        """Register a kind that will be served once its CRD is installed."""
        self._discovered.setdefault(kind.api_version, {})[kind.kind] = kind

    def served(self, api_version: str, kind: str) -> bool:
        """Whether the API server serves the kind; never cached."""
        return any(each.kind == kind for each, _verbs in self.resources(api_version))

    def served_versions(self, group: str) -> list[str]:
        """Served versions of an API group, the preferred one first; empty when the group is not served."""
        found = self._discover(f"/apis/{group}", group, "versions")
        preferred = found.get("preferredVersion", {}).get("version")
        versions = [row["version"] for row in found.get("versions", ())]
        return sorted(versions, key=lambda version: version != preferred)

    def api_groups(self) -> Jsons:
        """Every API group: name, versions, preferredVersion."""
        return mappings(self.request("GET", "/apis", what="API groups", key="groups")["groups"])

    def api_versions(self) -> Names:
        """Every API group in its preferred version, and "v1"."""
        return ["v1", *(group["preferredVersion"]["groupVersion"] for group in self.api_groups())]

    def resources(self, api_version: str) -> Resources:
        """The kinds of an API version with their verbs; none when the version is not served. Raises ApiUnavailable."""
        found = self._discover(api_path(api_version), api_version, "resources").get("resources") or ()
        rows = [row for row in found if "/" not in row["name"]]  # no subresources
        kinds = [Kind(api_version, row["kind"], row["name"], bool(row["namespaced"])) for row in rows]
        for kind in kinds:
            self.learn(kind)
        return [(kind, set(row.get("verbs", ()))) for kind, row in zip(kinds, rows, strict=True)]

    def require_aggregated_apis(self) -> None:
        """Raise ApiUnavailable when an aggregated API does not respond. A user who may not list APIServices finds out
        by asking for the API's kinds, see resources()."""
        try:
            services = self.list("apiregistration.k8s.io/v1", "APIService")
        except (Forbidden, NotServed):
            return
        for service in services:
            spec, available = spec_of(service), condition(service, "Available")
            if mapping(spec.get("service")) and available.get("status") == "False":
                why = f"{available.get('reason')}: {available.get('message')}"
                raise self._unavailable(f"{spec.get('group')}/{spec.get('version')}", why)

    def _discover(self, path: str, what: str, key: str) -> Json:
        try:
            return self.request("GET", path, what=what, key=key)
        except (NotFound, NotServed):
            return {}
        except Unreachable as exc:
            # Other groups are served: only this one is not.
            if "code" in exc.facts and path.count("/") == 3:
                raise self._unavailable(what, exc.msg.removeprefix(f"{self.name}: {what}: ")) from exc
            raise

    def _unavailable(self, api_version: str, why: str) -> ApiUnavailable:
        name = ".".join(reversed(api_version.split("/")))
        return ApiUnavailable(
            f"{self.name}: APIService {name} is not available ({one_line(why)[:300]}). See kubectl get apiservices: "
            "repair the server behind it, or delete the APIService if nothing needs it",
            cluster=self.name,
            kind="APIService",
            name=name,
        )

    # -- reading -----------------------------------------------------------------------------------------------------

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Json | None:
        """The object, or None when it does not exist. Raises NotServed when its kind is not served."""
        where = self.kind(api_version, kind)
        try:
            return self.request("GET", where.url(namespace, name), what=title(kind, name, namespace), kind=where)
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
        """Like list(), and the resourceVersion from which a watch can start."""
        where = self.kind(api_version, kind)
        what = _collection(kind, namespace)
        items: Jsons = []
        first = {"limit": str(page), **_selectors(labels, fields)}
        query, restarts = dict(first), 0
        while True:
            try:
                answer = self.request("GET", where.url(namespace), query, what=what, kind=where, key="items")
            except ClusterError as exc:
                # The pages of a long list belong to one version, which the API server keeps for some minutes.
                if exc.facts.get("code") != 410 or restarts == 3:
                    raise
                items, query, restarts = [], dict(first), restarts + 1
                continue
            for item in answer.get("items") or ():
                # Items of a list carry neither.
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

        Raises Timeout with reason Expired when ``resource_version`` is too old: list again. ``opened`` receives
        the stream, whose ``shutdown()`` ends the stream from another thread.
        """
        where = self.kind(api_version, kind)
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, int(timeout)))}
        if resource_version:
            query["resourceVersion"] = resource_version
        query |= _selectors(labels, fields)
        what = _collection(kind, namespace)
        stream = self._stream(where.url(namespace), query, what, where, timeout + 5)
        if opened is not None:
            opened(stream)
        try:
            for line in filter(bytes.strip, stream):
                event = from_json(line)
                change, obj = event["type"], event["object"]
                if change == "ERROR":
                    status = obj
                    if status.get("code") == 410:
                        raise Timeout(f"{self.name}: {kind}: watch expired", cluster=self.name, reason="Expired")
                    raise explain(self.name, self.server, what, status, status.get("code", 500))
                if change not in _CHANGES or not isinstance(obj["metadata"]["resourceVersion"], str):
                    return
                yield change, obj
        except (ValueError, LookupError, TypeError, AttributeError):
            # A damaged stream counts as ended: the caller lists and watches again.
            return
        finally:
            stream.close()

    def version(self) -> str:
        """The API server's version ("v1.36.3")."""
        return str(self.request("GET", "/version", what="version", key="gitVersion")["gitVersion"])

    def uid(self) -> str:
        """The UID of namespace kube-system, which identifies the cluster."""
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
        """Server-side apply; the stored object (or what a dry run returns). Raises Conflict, Invalid, NotServed, ..."""
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
            content_type=APPLY,
            dry_run=dry_run,
            what=title(where.kind, name, namespace),
            kind=where,
        )

    def replace(self, obj: Json, *, manager: str = FIELD_MANAGER, dry_run: bool = False) -> Json:
        """PUT the whole object; its metadata.resourceVersion guards against concurrent changes (Conflict)."""
        where, name, namespace = self._address(obj)
        return self.request(
            "PUT",
            where.url(namespace, name),
            {"fieldManager": manager},
            obj,
            dry_run=dry_run,
            what=title(where.kind, name, namespace),
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
        """Delete; False when there is no such object or kind. ``uid`` protects an object of that name created since."""
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
                what=title(kind, name, namespace),
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
        """The last log lines of a container; with ``previous`` those before its last restart."""
        where = self.kind("v1", "Pod")
        query = {"container": container, "tailLines": str(lines), "previous": "true" if previous else "false"}
        what = f"{title('Pod', pod, namespace)}: log of container {container}"
        return self._text(f"{where.url(namespace, pod)}/log", query, what, where).decode("utf-8", "replace")


def _collection(kind: str, namespace: str | None) -> str:
    return f"{kind} in {namespace}" if namespace else kind


def _selectors(labels: str | None, fields: str | None) -> dict[str, str]:
    return {name: text for name, text in (("labelSelector", labels), ("fieldSelector", fields)) if text}
