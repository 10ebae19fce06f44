# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cleanup keeps because objects of others need it (pure).

One rule: a program that we installed is kept while objects of others need it, with everything of ours that it needs. An
adopted object that is older than the program lived without it: its former state is restored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..apply.manifests import Ref, is_adopted, is_ours, ref_of
from ..gateway.controller import INTEGRATION, switch
from ..gateway.products import PRODUCTS, product_of
from ..k8s.fields import Json, key_of, labels_of, mapping, mappings, meta, name_of, spec_of
from ..k8s.kinds import group_of
from ..mesh.parts import EXTENSIONS
from .leftovers import is_class_of_istio, is_istiod
from .releases import HELM, NotedRelease

_GATEWAY_API = "gateway.networking.k8s.io"
#: groups with routes and sets of listeners, which are attached to a Gateway by parentRefs or parentRef
ATTACHED_GROUPS = (_GATEWAY_API, "gateway.networking.x-k8s.io")
_ATTACHED_KINDS = ("Route", "ListenerSet")
# A cluster or workspace needs the server; destinations and policies have no effect without both.
_OF_THE_SERVER = ("KubernetesCluster", "Workspace", "RootTrustPolicy")


@dataclass(frozen=True)
class Needs:
    """Reasons by what is kept: objects of ours, and releases by (namespace, name)."""

    objects: Mapping[Ref, str] = field(default_factory=dict)
    releases: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        objects: Sequence[Json],
        releases: Sequence[NotedRelease],
        revision: str,
        leaves: Callable[[Json], bool] = lambda obj: False,
    ) -> Needs:
        """The needs in one cluster.

        ``revision``: label istio.io/rev of the istiod of our ServiceMeshController. ``leaves``: whether an object is
        deleted with a release of ours.
        """
        return _Search(objects, [each for each in releases if each.ours and each.due], revision, leaves).needs()


def is_attached_kind(kind: str) -> bool:
    """Whether objects of the kind are attached to a Gateway."""
    return kind.endswith(_ATTACHED_KINDS)


def listed(refs: Sequence[Ref], most: int = 3) -> str:
    """The first ones by kind and name, and the number of the others."""
    titles = [ref.title for ref in refs[:most]]
    return ", ".join(titles) + (f" and {len(refs) - most} more" if len(refs) > most else "")


def controllers_of(objects: Iterable[Json], release: NotedRelease) -> set[str]:
    """controllerNames under which a release's gateway controller serves classes; of all products if it is unknown."""
    deployment = _deployment(objects, release)
    product = product_of(deployment) if deployment else None
    return {name for each in PRODUCTS if product in (None, each) for name in each.controllers}


def _deployment(objects: Iterable[Json], release: NotedRelease) -> Json | None:
    return next((obj for obj in objects if obj["kind"] == "Deployment" and key_of(obj) == release.deployment), None)


def class_users(objects: Iterable[Json]) -> dict[str, list[Ref]]:
    """GatewayClass -> Gateways of others that name it."""
    found: dict[str, list[Ref]] = {}
    for obj in objects:
        if _is_gateway(obj) and not is_ours(obj) and not is_adopted(obj) and not meta(obj).get("deletionTimestamp"):
            found.setdefault(_class_of(obj), []).append(ref_of(obj))
    return found


@dataclass
class _Search:
    """Each step finds what the results of the steps before need."""

    known: Sequence[Json]
    releases: Sequence[NotedRelease]
    revision: str
    leaves: Callable[[Json], bool]

    def needs(self) -> Needs:
        self.objects: dict[Ref, str] = {}
        self.programs: dict[tuple[str, str], str] = {}
        self._gateways()
        for release in self._of("controller"):
            self._program(release, [*self._gateways_of(release)])
        self._parameters()
        self._meshes()
        for release in self._of("operator"):
            meshes = [obj for obj in self._kind("ServiceMeshController") if self._stays(obj, release)]
            self._program(release, meshes, "ConfigMap", EXTENSIONS)
        for release in self._of("server"):
            users = [obj for kind in _OF_THE_SERVER for obj in self._kind(kind) if self._stays(obj, release)]
            self._program(release, users, "Secret")
            if any(obj["kind"] == "KubernetesCluster" for obj in users):
                self._keep(self._ours("RootTrustPolicy"), users)
        return Needs(self.objects, self.programs)

    def _gateways(self) -> None:
        """Gateways of ours to which others attached routes since."""
        for gateway in self._ours("Gateway"):
            routes = [obj for obj in self.known if _is_attached(obj, gateway) and self._is_untouched(obj)]
            self._keep([gateway], [obj for obj in routes if _created(obj) >= _created(gateway)])

    def _gateways_of(self, release: NotedRelease) -> Iterator[Json]:
        """Gateways that stay and have a class of the release's controller."""
        classes, names = self._kind("GatewayClass"), controllers_of(self.known, release)
        served = {name_of(obj) for obj in classes if spec_of(obj).get("controllerName") in names}
        for obj in self._kind("Gateway"):
            if _class_of(obj) in served and self._stays(obj, release):
                yield obj

    def _parameters(self) -> None:
        """Parameters of ours that Gateways that stay, or classes of others, refer to."""
        staying = [obj for obj in self._kind("Gateway") if self._is_untouched(obj) or ref_of(obj) in self.objects]
        staying += [obj for obj in self._kind("GatewayClass") if self._is_of_others(obj)]
        for parameters in filter(is_ours, self.known):
            if parameters["kind"].endswith("Parameters"):
                self._keep([parameters], [obj for obj in staying if _refers_to(obj, parameters)])

    def _meshes(self) -> None:
        """ServiceMeshControllers of ours: istiod gives certificates to proxies of a gateway controller that is kept."""
        users = [
            Ref("", HELM, each.namespace, each.name)
            for each in self._of("controller")
            if (each.namespace, each.name) in self.programs and self._integrates_istio(each)
        ]
        istiods = [obj for obj in self.known if is_istiod(obj)]
        if all(labels_of(obj).get("istio.io/rev") == self.revision for obj in istiods):
            classes = {name_of(obj) for obj in self._kind("GatewayClass") if is_class_of_istio(obj)}
            users += [
                ref_of(obj) for obj in self._kind("Gateway") if _class_of(obj) in classes and self._is_untouched(obj)
            ]
        for mesh in self._ours("ServiceMeshController"):
            if users:
                self.objects[ref_of(mesh)] = f"needed by {listed(users)}"

    def _integrates_istio(self, release: NotedRelease) -> bool:
        return switch(_deployment(self.known, release), INTEGRATION) is not False

    # -- helpers

    def _program(self, release: NotedRelease, users: Sequence[Json], kind: str = "", name: str = "") -> None:
        """Keep a release that has users, with our objects of a kind in its namespace."""
        if not users:
            return
        self.programs[release.namespace, release.name] = f"needed by {listed([ref_of(obj) for obj in users])}"
        for obj in self._ours(kind):
            if meta(obj).get("namespace") == release.namespace and name in ("", name_of(obj)):
                self.objects[ref_of(obj)] = f"needed by {HELM} {release.namespace}/{release.name}, which is kept"

    def _keep(self, objects: Iterable[Json], users: Sequence[Json]) -> None:
        if users:
            reason = f"needed by {listed([ref_of(obj) for obj in users])}"
            self.objects |= {ref_of(obj): reason for obj in objects}

    def _stays(self, obj: Json, release: NotedRelease) -> bool:
        """Whether an object stays and needs the release: of others, or kept by an earlier step."""
        if is_ours(obj):
            return ref_of(obj) in self.objects
        is_restored = is_adopted(obj) or self._is_switched_off(release)
        return self._is_of_others(obj) and not (is_restored and _created(obj) < release.created)

    def _is_switched_off(self, release: NotedRelease) -> bool:
        """Whether a cleanup that was interrupted has switched the controller off, to restore adopted Gateways."""
        live = _deployment(self.known, release)
        return live is not None and is_adopted(live) and switch(live, INTEGRATION) is False

    def _is_untouched(self, obj: Json) -> bool:
        return self._is_of_others(obj) and not is_adopted(obj)

    def _is_of_others(self, obj: Json) -> bool:
        return not (is_ours(obj) or meta(obj).get("deletionTimestamp") or self.leaves(obj))

    def _of(self, purpose: str) -> list[NotedRelease]:
        return [each for each in self.releases if each.purpose == purpose]

    def _kind(self, kind: str) -> list[Json]:
        """Of Gateway, those of Gateway API."""
        return [obj for obj in self.known if obj["kind"] == kind and (kind != "Gateway" or _is_gateway(obj))]

    def _ours(self, kind: str) -> list[Json]:
        return list(filter(is_ours, self._kind(kind)))


def _created(obj: Json) -> str:
    """Time of the API server, in UTC with seconds: comparable as text."""
    return str(meta(obj).get("creationTimestamp") or "")


def _is_gateway(obj: Json) -> bool:
    return obj["kind"] == "Gateway" and group_of(obj["apiVersion"]) == _GATEWAY_API


def _class_of(gateway: Json) -> str:
    return str(spec_of(gateway).get("gatewayClassName") or "")


def _is_attached(obj: Json, gateway: Json) -> bool:
    """Whether a route or a set of listeners names the Gateway as parent."""
    if group_of(obj["apiVersion"]) not in ATTACHED_GROUPS or not is_attached_kind(obj["kind"]):
        return False
    spec = spec_of(obj)
    parents = [*mappings(spec.get("parentRefs")), mapping(spec.get("parentRef"))]
    return any(
        parent.get("name") == name_of(gateway)
        and (parent.get("kind") or "Gateway") == "Gateway"
        and (parent.get("namespace") or meta(obj).get("namespace")) == meta(gateway).get("namespace")
        for parent in parents
    )


def _refers_to(obj: Json, parameters: Json) -> bool:
    """Whether a Gateway or GatewayClass has the parameters as parametersRef."""
    spec = spec_of(obj)
    namespace = meta(obj).get("namespace")
    ref = mapping(mapping(spec.get("infrastructure")).get("parametersRef") or spec.get("parametersRef"))
    return (
        ref.get("name") == name_of(parameters)
        and ref.get("kind") == parameters["kind"]
        and ref.get("group") == group_of(parameters["apiVersion"])
        and (ref.get("namespace") or namespace) == meta(parameters).get("namespace")
    )


def with_needs(releases: Iterable[NotedRelease], needs: Needs) -> list[NotedRelease]:
    """The releases; those that are needed are kept."""
    found = []
    for each in releases:
        reason = needs.releases.get((each.namespace, each.name))
        found.append(replace(each, due=False, kept=reason) if reason else each)
    return found
