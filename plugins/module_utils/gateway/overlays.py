# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Overlays in a proxy's parameters: patches of rendered objects, applied after all other fields (pure).

They are strategic merge patches, and fields of newer versions may have any effect, so their result is not computed:
these readers tell what an overlay may change, and the rendered Deployment shows the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..k8s.fields import Json, dig, mapping, mappings, spec_of
from .parameters_options import OPTIONS
from .proxy_objects import env_of
from .versions import OVERLAYS

#: fields below spec.kube that change no container of the proxy: its own options, and some without an option
_PLAIN = {option.path.split(".")[0] for option in OPTIONS} | {
    "agentgateway",
    "floatingUserId",
    "omitDefaultSecurityContext",
}
_DIRECTIVE = "$"  # first character of keys such as $patch


@dataclass(frozen=True)
class Overlay:
    """One field with a patch. ``by``: title of its parameters; ``is_known``: False for a field of a newer version."""

    name: str
    by: str
    patch: Json = field(default_factory=dict)
    is_known: bool = True

    @property
    def title(self) -> str:
        return f"{self.name} of {self.by}"

    @property
    def changes_pods(self) -> bool:
        """Whether it may change the Pod template."""
        return not self.is_known or (self.name == "deploymentOverlay" and "template" in spec_of(self.patch))

    def adds(self, container: str) -> bool:
        """Whether it has the container."""
        return any(_is_named(each, container) and not _has_directive(each) for each in self._containers)

    def removes(self, container: str) -> bool:
        """Whether it may remove the container."""
        if any(_is_named(each, container) and each.get("$patch") == "delete" for each in self._containers):
            return True
        return self._replaces_containers and not self.adds(container)

    def changes_env(self, container: str) -> bool:
        """Whether it may change the container's environment."""
        return self._replaces_containers or any(
            _is_named(each, container) and ("env" in each or _has_directive(each)) for each in self._containers
        )

    def replaces_env(self, container: str) -> bool:
        """Whether it may change variables of the container that it does not name."""
        return self._replaces_containers or any(
            _is_named(each, container)
            and (_has_directive(each) or each.get("env", []) is None or any(map(_has_directive, env_of(each))))
            for each in self._containers
        )

    def env(self, container: str) -> dict[str, str]:
        """The variables of the container that it sets to a value."""
        return {
            str(entry.get("name")): str(entry["value"])
            for each in self._containers
            if _is_named(each, container)
            for entry in env_of(each)
            if isinstance(entry.get("value"), str) and not _has_directive(entry)
        }

    @property
    def replicas(self) -> int | None:
        found = spec_of(self.patch).get("replicas") if self.name == "deploymentOverlay" else None
        return found if isinstance(found, int) else None

    @property
    def _containers(self) -> list[Json]:
        if self.name != "deploymentOverlay":
            return []
        pod = dig(self.patch, "spec", "template", "spec")
        return [each for key in ("containers", "initContainers") for each in mappings(mapping(pod).get(key))]

    @property
    def _replaces_containers(self) -> bool:
        """Whether more than single containers may change: a directive or a null above them, or an unknown field."""
        if not self.is_known:
            return True
        if self.name != "deploymentOverlay":
            return False
        level = self.patch
        for key in ("spec", "template", "spec", "containers"):
            if _has_directive(level) or (key in level and level[key] is None):
                return True
            if key == "containers":
                return any("name" not in each for each in mappings(level.get(key)))
            level = mapping(level.get(key))
        return False


def overlays_of(spec: Json, by: str) -> list[Overlay]:
    """The overlays in the spec of parameters, in the order of their names."""
    kube = mapping(spec.get("kube"))
    return [
        Overlay(name, by, mapping(kube[name]), name in OVERLAYS)
        for name in sorted(kube)
        if name not in _PLAIN and kube[name] is not None
    ]


def _is_named(container: Json, name: str) -> bool:
    return container.get("name") == name


def _has_directive(level: Json) -> bool:
    return any(key.startswith(_DIRECTIVE) and value != "merge" for key, value in level.items())
