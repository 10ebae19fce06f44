"""Kubernetes' strategic merge patch for the kinds that a controller deploys. Pure.

Lists of objects with a key are merged by it; `$patch` (delete, replace), `$retainKeys`, `$deleteFromPrimitiveList/` and
null are honoured, `$setElementOrder/` is dropped.
"""

from __future__ import annotations

import copy
from typing import Any

from lab.control_plane.objects import Object

DIRECTIVE, RETAIN_KEYS = "$patch", "$retainKeys"
DELETE_FROM, ORDER = "$deleteFromPrimitiveList/", "$setElementOrder/"

# Fields whose lists are merged, by the key of their entries; all other lists are replaced.
KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "env": "name",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "topologySpreadConstraints": "topologyKey",
    "hostAliases": "ip",
}
PORTS = {"Deployment": "containerPort", "Service": "port"}
REPLACED = {"PodDisruptionBudget": ("selector",)}  # objects that are replaced as a whole


class PatchError(Exception):
    """The patch cannot be applied."""


def merged(kind: str, original: Object, patch: Object) -> Object:
    """The spec of an object of this kind with the patch. Raises PatchError."""
    return _Merge({**KEYS, "ports": PORTS.get(kind, "")}, REPLACED.get(kind, ())).objects(original, patch)


class _Merge:
    def __init__(self, keys: dict[str, str], replaced: tuple[str, ...]) -> None:
        self._keys = keys
        self._replaced = replaced

    def objects(self, original: Object, patch: Object) -> Object:
        directive = patch.get(DIRECTIVE)
        if directive == "replace":
            return {key: value for key, value in patch.items() if key != DIRECTIVE}
        if directive == "delete":
            return {}
        if directive is not None:
            raise PatchError(f"unknown patch type: {directive}")
        retained = patch.get(RETAIN_KEYS)
        result = {key: value for key, value in original.items() if retained is None or key in retained}
        for key, value in patch.items():
            if key.startswith(DELETE_FROM):
                name = key.removeprefix(DELETE_FROM)
                result[name] = [entry for entry in result.get(name) or [] if entry not in value]
            elif value is None:
                result.pop(key, None)
            elif key != RETAIN_KEYS and not key.startswith(ORDER):
                result[key] = self._value(key, result.get(key), value)
        return result

    def _value(self, key: str, old: Any, new: Any) -> Any:
        if isinstance(old, dict) and isinstance(new, dict) and key not in self._replaced:
            return self.objects(old, new)
        if isinstance(old, list) and isinstance(new, list) and self._keys.get(key):
            return self._lists(self._keys[key], old, new)
        return _plain(new)

    def _lists(self, key: str, original: list[Object], patch: list[Object]) -> list[Object]:
        entries = [entry for entry in patch if DIRECTIVE not in entry]
        kept = list(original)
        for entry in patch:
            directive = entry.get(DIRECTIVE)
            if directive == "replace":
                kept = []
            elif directive == "delete":
                if key not in entry:
                    raise PatchError("delete patch type with no merge key defined")
                kept = [each for each in kept if each.get(key) != entry[key]]
            elif directive is not None:
                raise PatchError(f"unknown patch type: {directive}")
        for entry in entries:
            if key not in entry:
                raise PatchError(f"map: {entry} does not contain declared merge key: {key}")
        by_key = {each.get(key): each for each in kept}
        patched = [self.objects(by_key[e[key]], e) if e[key] in by_key else _plain(e) for e in entries]
        return _interleaved(key, kept, patched)


def _interleaved(key: str, original: list[Object], patched: list[Object]) -> list[Object]:
    """Both in their own order: an entry of the original alone is before a patched one that follows it there."""
    place = {each.get(key): number for number, each in enumerate(original)}
    names = {each[key] for each in patched}
    rest = [each for each in original if each.get(key) not in names]
    result = []
    for each in patched:
        while rest and each[key] in place and place[rest[0].get(key)] < place[each[key]]:
            result.append(rest.pop(0))
        result.append(each)
    return result + rest


def _plain(value: Any) -> Any:
    """A value of a patch without its directives and nulls."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [_plain(each) for each in value if not (isinstance(each, dict) and DIRECTIVE in each)]
    return copy.deepcopy(value)
