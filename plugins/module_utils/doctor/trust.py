# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which roots each cluster trusts, what it signs with, and whether clusters accept each other's certificates (pure).

istiod distributes its roots in ConfigMap istio-ca-root-cert. It signs with the certificate in Secret cacerts (keys of
Istio or of cert-manager), else with a self-signed one in Secret istio-ca-secret, else with a CA that is not in the
cluster. Clusters work together when each one's signing certificate leads to a root that the other trusts; the sets of
roots may differ, as they do during a rotation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ..gateway.proxy_model import ROOT_CERT
from ..k8s.fields import Json, mapping
from ..mesh.certificates import CannotVerify, Certificate, anchor_of, certificates_in
from .facts import CACERTS, SELF_SIGNED, Facts, SiteFacts, istio_namespace
from .runner import NotReadable

#: keys of a Secret with a signing certificate, Istio's and cert-manager's: certificates that sidecars present, roots
_FORMATS = ((("ca-cert.pem", "cert-chain.pem"), "root-cert.pem"), (("tls.crt",), "ca.crt"))


@dataclass(frozen=True)
class Trust:
    """The trust of one cluster.

    ``trusted``: what istiod distributes, () if nothing yet. ``chain``: the signing certificate in use, then its
    intermediates; () when it is not known. ``configured``: roots and chain of Secret cacerts, None without one.
    ``former``: the root with which istiod signed before it loaded cacerts. ``signer_unread``: why cacerts could not be
    read.
    """

    cluster: str
    time: float | None
    trusted: tuple[Certificate, ...]
    chain: tuple[Certificate, ...] = ()
    configured: tuple[tuple[Certificate, ...], tuple[Certificate, ...]] | None = None
    former: tuple[Certificate, ...] = ()
    signer_unread: str = ""

    @cached_property
    def roots(self) -> frozenset[Certificate]:
        """The trusted roots that have not expired; all if every one has."""
        return frozenset(_unexpired(self.trusted, self.time))

    @cached_property
    def signing_root(self) -> Certificate | None:
        """The root of its own that the signing certificate leads to; None when it is not known."""
        if not self.chain:
            return next(iter(self.roots)) if len(self.roots) == 1 else None
        try:
            return anchor_of(self.chain, self.trusted)
        except CannotVerify:
            return None

    @property
    def is_loaded(self) -> bool:
        """Whether istiod distributes the roots of Secret cacerts; others may be added to them."""
        return self.configured is None or set(self.configured[0]) <= set(self.trusted)

    def accepts(self, other: Trust) -> bool | None:
        """Whether its workloads accept certificates of the other cluster; None when that cannot be known."""
        return _accepts(self.trusted, other.chain, other.trusted, self.time)

    def will_accept(self, other: Trust) -> bool | None:
        """The same once both istiods have loaded Secret cacerts."""
        roots = self.configured[0] if self.configured and self.configured[0] else self.trusted
        chain = other.configured[1] if other.configured and other.configured[1] else other.chain
        others = other.configured[0] if other.configured and other.configured[0] else other.trusted
        return _accepts(roots, chain, others, self.time)


def _accepts(
    trusted: Sequence[Certificate], chain: Sequence[Certificate], roots: Sequence[Certificate], time: float | None
) -> bool | None:
    """roots: those of the cluster that signs; one of them issued the chain when that is not known."""
    try:
        if chain:
            return anchor_of(chain, trusted, time) is not None
        roots = _unexpired(roots, time)
        leading = [anchor_of((root, *roots), trusted, time) is not None for root in roots]
    except CannotVerify:
        leading = [root in trusted for root in roots]
    return True if leading and all(leading) else None if any(leading) else False


def _unexpired(roots: Sequence[Certificate], time: float | None) -> Sequence[Certificate]:
    """Those that have not expired; all if every one has."""
    return [each for each in roots if not each.is_expired(time)] or roots


def trust_of(facts: Facts) -> Trust:
    """The trust of a cluster. Raises NotReadable when its ConfigMaps cannot be listed."""
    trusted = _distributed(facts)
    unread = facts.unreadable.get(CACERTS, "")
    secret = None if unread else facts.secret(CACERTS)
    configured = signer_in(secret)
    own = None if SELF_SIGNED in facts.unreadable else signer_in(facts.secret(SELF_SIGNED))
    chain = next(
        (found[1] for found in (configured, own) if found and found[1] and _leads(found[1], trusted, found[0])), ()
    )
    former = own[1][:1] if own and not _leads(own[1], trusted, ()) else ()
    return Trust(facts.name, facts.time, trusted, chain, configured, former, unread)


def _leads(chain: Sequence[Certificate], trusted: Sequence[Certificate], roots: Iterable[Certificate]) -> bool:
    """Whether the chain leads to one of the trusted roots; without verification, whether its roots are trusted."""
    try:
        return anchor_of(chain, trusted) is not None
    except CannotVerify:
        return bool(set(roots) & set(trusted))


def signer_in(secret: Json | None) -> tuple[tuple[Certificate, ...], tuple[Certificate, ...]] | None:
    """(roots, signing certificate and intermediates) in the record of a Secret; None where it has none."""
    found = mapping(mapping(secret).get("certificates"))
    for keys, root in _FORMATS:
        chain = tuple(dict.fromkeys(each for key in keys for each in certificates_in(str(found.get(key) or ""))))
        if found.get(keys[0]):
            return certificates_in(str(found.get(root) or "")), chain
    return None


def root_config_map(facts: Facts) -> Json | None:
    """The ConfigMap of istiod's namespace, else of any namespace; None if istiod has not distributed a root."""
    return facts.find("ConfigMap", ROOT_CERT, istio_namespace(facts)) or facts.find("ConfigMap", ROOT_CERT)


def _distributed(facts: Facts) -> tuple[Certificate, ...]:
    text = str(mapping((root_config_map(facts) or {}).get("data")).get("root-cert.pem") or "")
    found = certificates_in(text)
    # Content that is not PEM is one unknown certificate: equal texts are still equal.
    return found or tuple(Certificate(each) for each in ("".join(text.split()),) if each)


def trusts_of(site: SiteFacts) -> list[Trust]:
    """The trust of every workload cluster where it can be read and istiod has distributed a root."""
    found = []
    for facts in site.workloads:
        try:
            found.append(trust_of(facts))
        except NotReadable:
            continue
    return [each for each in found if each.trusted]


def refusals(site: SiteFacts) -> list[str]:
    """Why clusters do not accept each other's certificates; empty when they do, as far as it is known."""
    trusts = trusts_of(site)
    return [sentence for trust in trusts for _other, sentence in refused(trusts, trust)]


def refused(trusts: Sequence[Trust], me: Trust) -> list[tuple[Trust, str]]:
    """(other cluster, sentence) for each cluster with which this one cannot work together.

    Of two such clusters only one is reported: the one that fewer of the others work with, else the later one.
    """
    place = {trust.cluster: (-len(_partners(trusts, trust)), number) for number, trust in enumerate(trusts)}
    found = []
    for other in trusts:
        if other is not me and place[other.cluster] < place[me.cluster]:
            sentence = _refusal(me, other)
            if sentence:
                found.append((other, sentence))
    return found


def _partners(trusts: Sequence[Trust], me: Trust) -> list[Trust]:
    return [other for other in trusts if other is not me and not _refusal(me, other)]


def _refusal(one: Trust, two: Trust) -> str:
    """Why two clusters do not work together, or will not once istiod has loaded Secret cacerts; "" if they do."""
    for a, b in ((one, two), (two, one)):
        if a.accepts(b) is False:
            return f"{a.cluster} does not accept certificates of {b.cluster}: {_because(a, b)}"
    for a, b in ((one, two), (two, one)):
        if not (a.is_loaded and b.is_loaded) and a.will_accept(b) is False:
            late = " and ".join(t.cluster for t in (one, two) if not t.is_loaded)
            return (
                f"{a.cluster} will not accept certificates of {b.cluster} once istiod in {late} has loaded Secret "
                f"{CACERTS}"
            )
    return ""


def _because(a: Trust, b: Trust) -> str:
    expired = [each for each in (*b.chain, *a.trusted) if each.is_expired(a.time)]
    if expired and _accepts(a.trusted, b.chain, b.trusted, None) is not False:
        return f"{expired[0].title} has expired"
    signer = b.signing_root or (b.chain or b.trusted)[0]
    return f"{a.cluster} trusts {_titles(a.roots)}, {b.cluster} signs with {signer.title}"


def _titles(certificates: Iterable[Certificate]) -> str:
    return ", ".join(sorted(each.title for each in certificates)) or "no root"


def state_of(trusts: Sequence[Trust]) -> tuple[str, str]:
    """(verdict, sentence) on roots that all clusters accept: ok, or a warning that names the step of a rotation."""
    every, common = frozenset().union(*(t.roots for t in trusts)), frozenset.intersection(*(t.roots for t in trusts))
    signing = {t.cluster: t.signing_root for t in trusts}
    late = [t.cluster for t in trusts if not t.is_loaded]
    unknown = [a.cluster for a in trusts for b in trusts if a.accepts(b) is None]
    with_roots = "; ".join(f"{t.cluster}: {_titles(t.roots)}" for t in trusts)
    if every == common and not late:
        if len(every) == 1:
            return "ok", f"the same root certificate in {', '.join(signing)}"
        roots = {root.title for root in signing.values() if root}
        use = f"; signing certificates lead to {' and '.join(sorted(roots))}" if roots else ""
        return "ok", f"the same {len(every)} root certificates in {', '.join(signing)}{use}"
    if unknown:
        return "warning", (
            f"the clusters trust different roots ({with_roots}), and the certificate that istiod signs with cannot be "
            f"read everywhere: whether {' and '.join(dict.fromkeys(unknown))} accept the others is not known"
        )
    if late:
        return "warning", f"istiod has not loaded the roots of Secret {CACERTS} yet in {', '.join(late)}"
    return "warning", f"{_step(trusts, every)} ({with_roots}); every cluster accepts the others"


def _step(trusts: Sequence[Trust], every: frozenset[Certificate]) -> str:
    """The step of a rotation in which the clusters are, if it is one."""
    signing = {t.signing_root for t in trusts}
    if None not in signing and len(signing) == 1:
        root = next(iter(signing))
        incomplete = [t.cluster for t in trusts if t.roots != every]
        complete = [t.cluster for t in trusts if t.roots == every]
        shown = root.title if root else ""
        if complete:
            return (
                f"only {', '.join(complete)} {'trusts' if len(complete) == 1 else 'trust'} all roots, "
                f"{', '.join(incomplete)} {'does' if len(incomplete) == 1 else 'do'} not; all sign with {shown}: the "
                "first step of a rotation (add the new root) or its last (remove the former one)"
            )
    return "the clusters trust different roots"
