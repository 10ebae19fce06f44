# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans the cleanup of one cluster: ordered steps, each with its reason (pure).

An object is ours by its label, adopted when we own fields of it, and foreign otherwise. Foreign objects are never
deleted, except leftovers of programs that we installed (``leftovers``) and CRDs that we installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..apply.manifests import Ref, is_adopted, is_ours, ref_of
from ..helm.ownership import has_gitops, program_of
from ..helm.releases import NOTE_LABEL
from ..k8s.fields import Json, labels_of, meta, name_of, spec_of, texts
from ..k8s.kinds import group_of
from ..mesh import parts
from .leftovers import controller_leftovers, is_class_of_istio, istio_leftovers, relay_secrets, since
from .needs import Needs, class_users, controllers_of, listed, with_needs
from .releases import HELM, NotedRelease, Purpose, note_ref

DELETE, GIVE_BACK, UNINSTALL, SWITCH_OFF, WAIT, KEEP = "delete", "give back", "uninstall", "switch off", "wait", "keep"

#: phase -> reason for its position. All clusters finish a phase before the next one starts.
PHASES: dict[str, str] = {
    "routes": "removed first, so that nothing routes to resources removed later",
    "gateway": "Gateways that are kept are restored before their parameters are deleted, or they would become invalid",
    "destinations": "while agents run, which then delete the translated objects",
    "translation": "connected agents delete the translated objects",
    "application": "no route to the application and its gateways is left",
    "istio": "the running operator removes Istio",
    "agents": "Istio is removed, so operator and agent are no longer needed",
    "platform": "no agent is connected",
    "leftovers": "left behind by programs; a running agent would recreate Secret cacerts",
    "crds": "deleting a CRD deletes all objects of its kind, so ours are removed first",
    "namespaces": "all objects of this collection are removed, so any others belong to other owners",
}

#: kind (with its API group) -> phase in which our objects are deleted and adopted ones restored
WRITTEN: dict[tuple[str, str], str] = {
    ("gateway.networking.k8s.io", "HTTPRoute"): "routes",
    ("gateway.networking.k8s.io", "Gateway"): "gateway",
    ("networking.gloo.solo.io", "RouteTable"): "destinations",
    ("networking.gloo.solo.io", "VirtualDestination"): "destinations",
    ("apps", "Deployment"): "application",
    ("", "Service"): "application",
    ("", "ServiceAccount"): "application",
    ("operator.gloo.solo.io", "ServiceMeshController"): "istio",
    ("", "ConfigMap"): "agents",
    ("admin.gloo.solo.io", "WorkspaceSettings"): "platform",
    ("admin.gloo.solo.io", "Workspace"): "platform",
    ("admin.gloo.solo.io", "RootTrustPolicy"): "platform",
    ("admin.gloo.solo.io", "KubernetesCluster"): "platform",
    ("", "Secret"): "platform",
    ("", "Namespace"): "namespaces",
}

RELEASE_NAME, _RELEASE_NAMESPACE = "meta.helm.sh/release-name", "meta.helm.sh/release-namespace"
# An operator brings them with the CRDs of Gateway API.
POLICIES = ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy")
_OURS = "created by this collection"
_ADOPTED = "existed before: its former values are restored"
_CONSENT = "removed only with cleanup_vendor_crds=true"


@dataclass(frozen=True)
class Step:
    """One step. ``kind`` is that of an object, or ``Helm release`` (without apiVersion).

    ``name`` is a label selector for Pods that are waited for.

    ``ours``: the object has our label; this is verified again before it is deleted.
    """

    phase: str
    action: str
    api_version: str
    kind: str
    namespace: str
    name: str
    reason: str
    ours: bool = False

    @property
    def ref(self) -> Ref:
        return Ref(self.api_version, self.kind, self.namespace, self.name)

    def record(self, cluster: str) -> Json:
        """The flat record of the result."""
        return {"cluster": cluster, **vars(self)}


def step_of(record: Json) -> Step:
    """The step of a record."""
    return Step(**{name: record[name] for name in Step.__dataclass_fields__})


@dataclass(frozen=True)
class Options:
    """Options of the user. ``istio_revision``: label istio.io/rev of the istiod that is removed."""

    vendor_crds: bool = False
    istio_namespace: str = "istio-system"
    istio_revision: str = "gloo"


def plan(objects: Iterable[Json], releases: Iterable[NotedRelease], options: Options) -> list[Step]:
    """The steps for one cluster, in their order.

    ``objects``: those of the kinds in WRITTEN that this collection may have written, and of the parameters' kinds;
    GatewayClasses; CRDs and, to know whether others use them, objects of their kinds; istiod's Pods; candidates for
    leftovers. An object may occur twice. ``releases``: those with our note.
    """
    site = _Site.of(objects, releases, options)
    steps: list[Step] = []
    for phase in PHASES:
        for make in _MAKERS.get(phase, (_objects,)):
            done = {step.ref for step in steps}
            steps += [step for step in make(phase, site, steps) if step.action == WAIT or step.ref not in done]
    return steps


@dataclass(frozen=True)
class _Site:
    """The current state of one cluster."""

    objects: tuple[Json, ...]
    releases: tuple[NotedRelease, ...]
    options: Options
    needs: Needs = field(default_factory=Needs)

    @classmethod
    def of(cls, objects: Iterable[Json], releases: Iterable[NotedRelease], options: Options) -> _Site:
        # An object may occur in two versions of its group.
        unique = {replace(ref_of(obj), api_version=group_of(obj["apiVersion"])): obj for obj in reversed([*objects])}
        found = tuple(reversed(unique.values()))
        programs = {_release_key(obj): program_of(obj) for obj in found if has_gitops(obj)}
        known = [_now_of(each, programs) for each in releases]
        site = cls(found, tuple(known), options)
        needs = Needs.of(found, known, options.istio_revision, site.leaves_with_release)
        return replace(site, releases=tuple(with_needs(known, needs)), needs=needs)

    def kind(self, kind: str, group: str | None = None) -> list[Json]:
        return [o for o in self.objects if o["kind"] == kind and group in (None, group_of(o["apiVersion"]))]

    def due(self, *purposes: Purpose) -> list[NotedRelease]:
        """Releases that have to be uninstalled or restored."""
        return [each for each in self.releases if each.due and each.purpose in purposes]

    def made(self, purpose: Purpose) -> list[NotedRelease]:
        """Releases that we installed, whether or not they still exist: older objects existed before."""
        return [each for each in self.releases if each.ours and each.purpose == purpose]

    @property
    def needed(self) -> list[NotedRelease]:
        """Releases of ours that objects of others need."""
        return [each for each in self.releases if (each.namespace, each.name) in self.needs.releases]

    def leaves_with_release(self, obj: Json) -> bool:
        """Whether the object is deleted when a release of ours is uninstalled."""
        key = _release_key(obj)
        return any(each.ours and each.due and key == (each.namespace, each.name) for each in self.releases)


def _release_key(obj: Json) -> tuple[str, str]:
    """(namespace, name) of the Helm release that an object's annotations name."""
    notes = texts(meta(obj).get("annotations"))
    return notes.get(_RELEASE_NAMESPACE, ""), notes.get(RELEASE_NAME, "")


def _now_of(release: NotedRelease, programs: Mapping[tuple[str, str], str]) -> NotedRelease:
    """The release; one whose objects Argo CD or Flux manages by now is no longer ours and is not changed."""
    program = programs.get((release.namespace, release.name), "")
    return replace(release, ours=False, due=False, kept=f"belongs to {program}") if program else release


# Returns the steps of a phase; gets those of earlier phases.
_Maker = Callable[[str, _Site, Sequence[Step]], Iterator[Step]]


# -- our objects and adopted ones


def _objects(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    for obj in sorted(filter(lambda obj: phase_of(obj) == phase, site.objects), key=_place):
        step = _step(phase, obj, site)
        if step:
            yield step


def phase_of(obj: Json) -> str:
    """The phase in which an object of its kind is removed; "" for kinds that we do not write."""
    if NOTE_LABEL in labels_of(obj):
        return ""
    # Parameters have one kind per product; the group may be any.
    if obj["kind"].endswith("Parameters"):
        return "gateway"
    return WRITTEN.get((group_of(obj["apiVersion"]), obj["kind"]), "")


def _step(phase: str, obj: Json, site: _Site) -> Step | None:
    if reason := site.needs.objects.get(ref_of(obj)):
        return of_object(phase, KEEP, obj, reason)
    if is_ours(obj):
        return of_object(phase, DELETE, obj, _OURS)
    # Owned objects and those of our releases are deleted with their owner.
    if is_adopted(obj) and not meta(obj).get("ownerReferences") and not site.leaves_with_release(obj):
        return of_object(phase, GIVE_BACK, obj, _ADOPTED)
    return None


def of_object(phase: str, action: str, obj: Json, reason: str) -> Step:
    """The step about an object."""
    ref = ref_of(obj)
    return Step(phase, action, ref.api_version, ref.kind, ref.namespace, ref.name, reason, is_ours(obj))


def _place(obj: Json) -> tuple[int, str, str, str]:
    kinds = [kind for _group, kind in WRITTEN]
    kind = obj["kind"]
    return kinds.index(kind) if kind in kinds else len(kinds), kind, str(meta(obj).get("namespace") or ""), name_of(obj)


# -- Helm releases


def _release(phase: str, release: NotedRelease) -> Step:
    if release.ours:
        return Step(phase, UNINSTALL, "", HELM, release.namespace, release.name, "installed by this collection")
    reason = "existed before: its former revision and values are restored"
    return Step(phase, GIVE_BACK, "", HELM, release.namespace, release.name, reason)


def _title(release: NotedRelease) -> str:
    return f"{HELM} {release.namespace}/{release.name}"


def _releases(*purposes: Purpose) -> _Maker:
    """Returns a maker of the steps for releases with these purposes."""

    def make(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
        for release in site.due(*purposes):
            yield _release(phase, release)
        yield from _kept(phase, site, purposes)

    return make


def _kept(phase: str, site: _Site, purposes: Sequence[Purpose]) -> Iterator[Step]:
    for release in site.releases:
        if release.present and release.kept and release.purpose in purposes:
            yield Step(phase, KEEP, "", HELM, release.namespace, release.name, release.kept)


# -- gateway


def _controllers(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """Switches off the integration before a Gateway that is kept gets its former spec.

    Without parameters a proxy keeps sds and istio-proxy with wrong defaults; only the controller's switch removes them.
    """
    staying = [obj for obj in site.kind("Gateway", "gateway.networking.k8s.io") if is_adopted(obj)]
    for release in site.due("controller"):
        if not release.ours:
            yield _release(phase, release)
        elif staying and release.deployment:
            reason = f"{ref_of(staying[0]).title} is kept: sds and istio-proxy are removed from its proxy"
            yield Step(phase, SWITCH_OFF, "apps/v1", "Deployment", *release.deployment, reason)


def _proxies(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """The proxy of a Gateway that is kept has one container before our controller is uninstalled."""
    if any(step.action == SWITCH_OFF for step in steps):
        for obj in site.kind("Gateway", "gateway.networking.k8s.io"):
            if is_adopted(obj):
                yield of_object(phase, WAIT, obj, "until its proxy runs without sds and istio-proxy")


def _controller_leftovers(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """Without those of a controller that is kept, and classes of which others have Gateways."""
    going = [step.ref for step in steps if step.action == DELETE]
    made = [each for each in site.made("controller") if not each.kept]
    kept = {name for each in site.needed for name in controllers_of(site.objects, each)}
    users = class_users(site.objects)
    for obj in controller_leftovers(site.objects, made, going, kept):
        if obj["kind"] == "GatewayClass" and (others := users.get(name_of(obj))):
            yield of_object(phase, KEEP, obj, f"used by {listed(others)}")
        else:
            yield of_object(phase, DELETE, obj, "left behind by the gateway controller that this collection installed")


# -- Istio and Gloo Mesh


def _translation(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    for release in site.releases:
        if release.purpose == "agent" and release.present:
            reason = "until it has deleted the objects translated from deleted destinations"
            yield Step(phase, WAIT, "apps/v1", "Deployment", release.namespace, "gloo-mesh-agent", reason)


def _istiod(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """Only our revision: another istiod may run in the namespace."""
    for namespace in _leaving_istio(site, steps):
        name = f"app=istiod,istio.io/rev={site.options.istio_revision}"
        yield Step(phase, WAIT, "v1", "Pod", namespace, name, "until the operator has removed Istio")


def _leaving_istio(site: _Site, steps: Sequence[Step]) -> list[str]:
    """Namespaces of the istiods that are removed with their ServiceMeshControllers."""
    going = {step.ref for step in steps if step.action == DELETE and step.kind == "ServiceMeshController"}
    leaving = [obj for obj in site.kind("ServiceMeshController") if ref_of(obj) in going]
    return list(dict.fromkeys(_install_namespace(obj) for obj in leaving))


def _install_namespace(mesh: Json) -> str:
    return str(spec_of(mesh).get("installNamespace") or "istio-system")


def _relay_secrets(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    made = [each for each in (*site.made("agent"), *site.made("server")) if not each.kept]
    policies = [name_of(obj) for obj in site.kind("RootTrustPolicy")]
    for obj in relay_secrets(site.objects, made, policies):
        yield of_object(
            phase, DELETE, obj, "left behind by the management server or agent that this collection installed"
        )


def _translated(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """What our agent translated and has not deleted: it was down, or its cluster is no longer registered."""
    agents = [release for release in site.releases if release.purpose == "agent"]
    others = [each for each in parts.agents(site.kind("Deployment")) if not site.leaves_with_release(each)]
    if not others and all(release.ours for release in agents):
        for obj in since(filter(is_translated, site.objects), site.made("agent")):
            yield of_object(phase, DELETE, obj, "translated by the agent that this collection installed")


def _istio_leftovers(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    if any(ref.kind == "ServiceMeshController" for ref in site.needs.objects):
        return
    leaving = dict.fromkeys(_leaving_istio(site, steps), site.options.istio_revision)
    for namespace in leaving or [site.options.istio_namespace]:
        for obj in istio_leftovers(site.objects, site.made("operator"), namespace, leaving):
            yield of_object(phase, DELETE, obj, "left behind by the istiod that this collection installed")


# -- CRDs and namespaces


def _crds(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """CRDs that we installed, with the releases that consist of them.

    They are kept without the user's consent, when others have objects of their kinds, and with a program that is kept.
    A release is kept when one of its CRDs is: Helm removes all of them or none.
    """
    crds = vendor_crds(site.kind("CustomResourceDefinition"), site.releases)
    users = _users(site, crds, {step.ref for step in steps if step.action == DELETE})
    releases = site.due("crds")
    program = next((f"needed by {_title(each)}, which is kept" for each in site.needed), "")
    kept: dict[str, str] = {}
    for release in releases:
        used = [name for name in release.crds if users.get(name)]
        step = _release(phase, release)
        reason = "" if site.options.vendor_crds else _CONSENT
        if used and not reason:
            reason = f"its CRD {used[0]} is used by {listed(users[used[0]])}"
        reason = reason or program
        if reason:
            kept |= dict.fromkeys(release.crds, f"belongs to {_title(release)}")
            step = replace(step, action=KEEP, reason=reason)
        yield step
    yield from _kept(phase, site, ("crds",))
    for crd in sorted(crds, key=name_of):
        name = name_of(crd)
        if not site.options.vendor_crds:
            yield of_object(phase, KEEP, crd, _CONSENT)
        elif users.get(name):
            yield of_object(phase, KEEP, crd, f"used by {listed(users[name])}")
        elif name in kept or program:
            yield of_object(phase, KEEP, crd, kept.get(name, program))
        else:
            yield of_object(phase, DELETE, crd, "installed by a Helm release of this collection")


def vendor_crds(crds: Iterable[Json], releases: Iterable[NotedRelease]) -> list[Json]:
    """CRDs that we installed: those with our label, and those that a release of ours installed since its note.

    The same for the admission policies that came with CRDs.
    """
    known = list(releases)
    return [crd for crd in crds if is_ours(crd) or since([crd], [each for each in known if each.brought(crd)])]


def _policies(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """Admission policies that were installed with CRDs: kept as long as one of these CRDs is kept."""
    kept = [step.name for step in steps if step.phase == phase and step.action == KEEP and step.kind != HELM]
    found = [obj for kind in POLICIES for obj in site.kind(kind, "admissionregistration.k8s.io")]
    for obj in vendor_crds(found, site.releases):
        protected = [name for name in kept if name.partition(".")[2] == name_of(obj).partition(".")[2]]
        if not site.options.vendor_crds:
            yield of_object(phase, KEEP, obj, _CONSENT)
        elif protected:
            yield of_object(phase, KEEP, obj, f"protects CustomResourceDefinition {protected[0]}, which is kept")
        else:
            yield of_object(phase, DELETE, obj, "installed by a Helm release of this collection")


def _users(site: _Site, crds: Iterable[Json], going: set[Ref]) -> dict[str, list[Ref]]:
    """Objects of others by the CRD of their kind, without those that are deleted anyway."""
    names = {(spec_of(crd).get("group"), (spec_of(crd).get("names") or {}).get("kind")): name_of(crd) for crd in crds}
    gone = {(group_of(ref.api_version), ref.kind, ref.namespace, ref.name) for ref in going}
    users: dict[str, list[Ref]] = {}
    classes = {str(spec_of(obj).get("gatewayClassName")) for obj in site.objects if obj["kind"] == "Gateway"}
    for obj in site.objects:
        if is_class_of_istio(obj) and name_of(obj) not in classes:
            continue  # every istiod creates them wherever their CRD exists
        ref = ref_of(obj)
        group = group_of(ref.api_version)
        crd = names.get((group, ref.kind))
        if crd is None or (group, ref.kind, ref.namespace, ref.name) in gone or made_by_program(obj):
            continue
        if (not is_ours(obj) or ref in site.needs.objects) and not site.leaves_with_release(obj):
            users.setdefault(crd, []).append(ref)
    return users


def made_by_program(obj: Json) -> bool:
    """Whether a controller derived the object from another one."""
    found = meta(obj)
    if found.get("ownerReferences") or found.get("deletionTimestamp"):
        return True
    return group_of(obj["apiVersion"]) == "internal.gloo.solo.io" or is_translated(obj)


def is_translated(obj: Json) -> bool:
    """Whether Gloo Mesh translated the object from another one, by its labels."""
    marks = ("gloo.solo.io/parent_", "owner.gloo.solo.io/", "reconciler.mesh.gloo.solo.io/", "agent.gloo.solo.io")
    return any(label.startswith(marks) for label in labels_of(obj))


def _namespaces(phase: str, site: _Site, steps: Sequence[Step]) -> Iterator[Step]:
    """Our notes about releases, then namespaces. Notes about what is kept are kept for a later run."""
    kept_crds = {step.name for step in steps if step.phase == "crds" and step.action == KEEP and step.kind != HELM}
    kept_releases = {
        (step.namespace, step.name)
        for step in steps
        if step.phase == "crds" and step.action == KEEP and step.kind == HELM
    }
    kinds = ("CustomResourceDefinition", *POLICIES)
    crds = [obj for kind in kinds for obj in site.kind(kind) if name_of(obj) in kept_crds]
    noted = [
        each
        for each in site.releases
        if (each.namespace, each.name) in kept_releases or any(each.ours and each.brought(crd) for crd in crds)
    ]
    notes = {note_ref(each): each for each in site.releases}
    for obj in site.objects:
        release = notes.get(replace(ref_of(obj), kind="ConfigMap")) if obj["kind"] in ("ConfigMap", "Secret") else None
        if release in site.needed:
            yield of_object(phase, KEEP, obj, f"records the ownership of {_title(release)}, which is kept")
        elif release in noted:
            yield of_object(phase, KEEP, obj, "records which CRDs this collection installed")
        elif release:
            yield of_object(phase, DELETE, obj, f"records the ownership of {_title(release)}")
    places = _places(site, steps) | {each.namespace: "contains records of CRDs that are kept" for each in noted}
    for step in _objects(phase, site, steps):
        if step.action != DELETE:
            yield step
        elif step.name in places:
            yield replace(step, action=KEEP, reason=places[step.name])
        else:
            yield replace(step, reason=f"{_OURS}; kept if it contains objects not managed by this collection")


def _places(site: _Site, steps: Sequence[Step]) -> dict[str, str]:
    """Namespace -> why it is kept: objects of ours and releases in it are kept."""
    places = {step.namespace: f"contains {step.ref.title}, which is kept" for step in steps if step.action == KEEP}
    for obj in site.kind("ServiceMeshController"):
        if ref_of(obj) in site.needs.objects:
            places[_install_namespace(obj)] = f"contains the istiod of {ref_of(obj).title}, which is kept"
    return places


_MAKERS: dict[str, tuple[_Maker, ...]] = {
    "gateway": (_controllers, _objects, _proxies),
    "translation": (_translation,),
    "application": (_objects, _releases("controller", "other"), _controller_leftovers),
    "istio": (_objects, _istiod),
    "agents": (_releases("operator", "agent"), _objects),
    "platform": (_objects, _releases("server")),
    "leftovers": (_translated, _relay_secrets, _istio_leftovers),
    "crds": (_crds, _policies),
    "namespaces": (_namespaces,),
}
