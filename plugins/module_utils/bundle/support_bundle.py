# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Engine of the module support_bundle: read all clusters in parallel, redact, write one archive."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from ..k8s.client import CLUSTERS_SPEC, connect
from ..k8s.errors import ClusterError, Invalid
from ..k8s.fields import Json
from ..k8s.printable import printable
from ..k8s.redaction import Redaction, text
from .archive import README, bounded, destination, pack, write
from .content import Content, File, collect

ARGUMENT_SPEC: dict[str, Any] = {
    **CLUSTERS_SPEC,
    "dest": {"type": "path"},
    "namespaces": {"type": "list", "elements": "str", "default": []},
    "log_lines": {"type": "int", "default": 1000},
    "max_size": {"type": "int", "default": 50},
    "max_file_size": {"type": "int", "default": 5},
}

_MIB = 1024 * 1024
_CLUSTERS_AT_ONCE = 8


def run(params: dict[str, Any], check: bool, progress: Callable[[str], None]) -> dict[str, Any]:
    """Result: archive, size, files, clusters [record], left_out, not_ready. Invalid when dest cannot be written."""
    clusters: list[Json] = params["clusters"]
    _validate(params)
    now = time.time()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    path = destination(params.get("dest"), stamp)
    names = ", ".join(each["name"] for each in clusters)
    if check:
        records = [_record(each, Content()) for each in clusters]
        msg = f"a support bundle of {names} would be written to {path}"
        return {"changed": True, "msg": msg, "archive": str(path), "size": 0, "files": 0, "clusters": records} | _EMPTY
    redaction = Redaction()
    redaction.publish(each[key] for each in clusters for key in ("name", "context"))
    with ThreadPoolExecutor(_CLUSTERS_AT_ONCE) as pool:
        found = list(pool.map(lambda each: _collect(each, redaction, params, progress), clusters))

    files = [_scrubbed(file, redaction) for content in found for file in content.files]
    # Objects first, so that logs are truncated when the size limit is reached.
    files.sort(key=lambda file: file.newest_last)
    kept, cut = bounded(files, params["max_file_size"] * _MIB, params["max_size"] * _MIB)
    result = {
        "clusters": [_record(each, content) for each, content in zip(clusters, found, strict=True)],
        "not_ready": [row for content in found for row in content.not_ready],
        "left_out": [*(row for content in found for row in content.left_out), *cut],
    }
    index = {"time": stamp, **result, "files": [{"path": name, "bytes": len(kept[name])} for name in sorted(kept)]}
    shown = redaction.scrub(json.dumps(index, indent=2))
    head = {"README.md": README.format(time=stamp).encode(), "index.json": f"{shown}\n".encode()}
    content = pack(f"multicluster-gloo-bundle-{stamp}", {**head, **kept}, now)
    write(path, content)
    return {
        "changed": True,
        "msg": _sentence(result, str(path), len(kept)),
        "archive": str(path),
        "size": len(content),
        "files": len(kept) + len(head),
        **json.loads(redaction.scrub(json.dumps(result))),
    }


_EMPTY: Json = {"not_ready": [], "left_out": []}


def _validate(params: dict[str, Any]) -> None:
    names = [each["name"] for each in params["clusters"]]
    if not names:
        raise Invalid("support_bundle: 'clusters' is empty. Give at least one cluster", option="clusters")
    for name in names:
        if names.count(name) > 1 or not name or "/" in name or name.startswith("."):
            raise Invalid(
                f"support_bundle: cluster name {name!r} is not unique or not valid as a folder name. Set another one",
                option="clusters",
            )
    for option in ("log_lines", "max_size", "max_file_size"):
        if params[option] < 1:
            raise Invalid(f"support_bundle: {option!r} is {params[option]}. Set 1 or more", option=option)


def _collect(each: Json, redaction: Redaction, params: dict[str, Any], progress: Callable[[str], None]) -> Content:
    """Never raises: an unreachable cluster is recorded in the bundle."""
    reason = ""
    try:
        with connect({**each, "cluster": each["name"]}) as cluster:
            return collect(cluster, redaction, params["namespaces"], params["log_lines"], progress)
    except ClusterError as exc:
        reason = text(exc.msg)
    except Exception as exc:
        # A bug that affects one cluster must not prevent the bundle of the others.
        reason = f"{each['name']}: unexpected {type(exc).__name__}"
    return Content(facts={"error": reason}, left_out=[{"what": f"{each['name']}: everything", "reason": reason}])


def _record(each: Json, content: Content) -> Json:
    facts = content.facts
    return {
        "cluster": each["name"],
        "role": each["role"],
        "gateway": each["gateway"],
        "reached": bool(facts) and "error" not in facts,
        "error": facts.get("error", ""),
        "server": text(facts.get("server", "")),
        "version": facts.get("version", ""),
        "uid": facts.get("uid", ""),
        "namespaces": facts.get("namespaces", []),
        "requests": facts.get("requests", 0),
    }


def _scrubbed(file: File, redaction: Redaction) -> File:
    return replace(file, content=printable(redaction.scrub(file.content)))


def _sentence(result: Json, path: str, files: int) -> str:
    reached = [each["cluster"] for each in result["clusters"] if each["reached"]]
    missed = [each["cluster"] for each in result["clusters"] if not each["reached"]]
    msg = f"{path}: {files} files of {', '.join(reached) or 'no cluster'}"
    if missed:
        msg += f"; unreachable: {', '.join(missed)}"
    if result["left_out"]:
        number = len(result["left_out"])
        msg += f"; {number} item{'' if number == 1 else 's'} omitted, see index.json"
    return msg
