# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts, groups and variables of an inventory from contexts of kubeconfigs and from registered clusters (pure).

Errors are ClusterErrors that name the option.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..module_utils.k8s.errors import ClusterError
from ..module_utils.k8s.fields import Json, labels_of, mappings, name_of, texts
from ..module_utils.k8s.printable import each_text, one_line
from ..module_utils.site import named_kinds as kinds
from ..module_utils.site.identity import recorded_uid
from ..module_utils.site.variable_kinds import (
    Fields,
    Kind,
    ListOf,
    MapOf,
    Number,
    Problem,
    Problems,
    Surroundings,
    Text,
    problem,
    shown,
    text_of,
)

GROUPS = ("management", "workload", "gateway")
_RESERVED = frozenset(["all", "ungrouped", *GROUPS])
_NAMES_SHOWN = 20

# -- patterns: with * ? [], or with ~ first a regular expression for the whole name, as for hosts in Ansible


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern[1:] if pattern.startswith("~") else fnmatch.translate(pattern))


def _is_pattern(text: str) -> bool:
    try:
        _compiled(text)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def _is_name(pattern: str) -> bool:
    """Whether it can match only one name."""
    return not pattern.startswith("~") and not any(sign in pattern for sign in "*?[")


# -- options ----------------------------------------------------------------------------------------------------------

_PATTERN = text_of("not a valid regular expression", "Correct it, or use a pattern with * and without ~", _is_pattern)
_RULE = Fields(
    fields={"pattern": _PATTERN, "name": Text(todo="Set a name for the host")},
    required=("pattern",),
    what="an entry",
)


@dataclass(frozen=True, kw_only=True)
class _ContextRule(Kind):
    """A pattern, or a dictionary with pattern and name."""

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        yield from (_RULE if isinstance(value, Mapping) else _PATTERN).check(path, value, around)


@dataclass(frozen=True, kw_only=True)
class _Kubeconfig(Kind):
    """Paths or contents of kubeconfigs: one or a list."""

    todo: str = "Set a path, the content of a kubeconfig, or a list of them"

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        if value == [] or any(not isinstance(each, str | Mapping) or not each for each in sources(value)):
            yield problem(path, value, "neither a path nor the content of a kubeconfig", self.todo, hidden=True)


_HOSTS = ListOf(item=_PATTERN, comma=True, null=True, todo="Set a list of patterns for names of hosts")

#: options of the plugin itself
OPTIONS: dict[str, Kind] = {
    "kubeconfig": _Kubeconfig(),
    "contexts": ListOf(item=_ContextRule(), empty=False, comma=True, todo="Set a list of patterns for contexts"),
    "management_context": Text(null=True, todo="Set the context of the management cluster"),
    "management_namespace": kinds.NAMESPACE,
    "timeout": Number(least=1, most=600),
    **dict.fromkeys(GROUPS, _HOSTS),
    "cluster_uids": MapOf(value=Text(todo="Set the UID of namespace kube-system"), todo="Set UIDs by host"),
}


def check_options(given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raise ClusterError for options that do not exist or have wrong values. ``known``: names of all options."""
    found = [str(each) for each in _option_problems(given, sorted(known))]
    if found:
        more = f" ({len(found) - 5} more)" if len(found) > 5 else ""
        raise ClusterError("; ".join(found[:5]) + more)


def _option_problems(given: Mapping[str, Any], known: Sequence[str]) -> Iterator[Problem]:
    for name, value in given.items():
        if name in OPTIONS:
            yield from OPTIONS[name].problems(name, value, Surroundings())
        elif name not in known:
            near = difflib.get_close_matches(str(name)[:100], known, 1)
            yield Problem(shown(str(name)), "not an option", "the plugin has none of this name", _use(near or OPTIONS))


def _use(names: Iterable[str]) -> str:
    return f"Use {', '.join(names)}"


def sources(kubeconfig: Any) -> list[Any]:
    """The entries of the option kubeconfig: texts and dictionaries."""
    return list(kubeconfig) if isinstance(kubeconfig, list) else [kubeconfig]


# -- hosts ------------------------------------------------------------------------------------------------------------


class Context(NamedTuple):
    """A context, and the kubeconfig that has it: path, or several as in KUBECONFIG."""

    name: str
    kubeconfig: str


@dataclass(frozen=True)
class Host:
    """``name``: of the host and of the cluster; ``registration``: of its KubernetesCluster, if that was read."""

    name: str
    context: Context
    registration: Registration | None = None

    @property
    def variables(self) -> dict[str, str]:
        return {"kubeconfig": self.context.kubeconfig, "kube_context": self.context.name}


class Registration(NamedTuple):
    """A KubernetesCluster. ``uid``: of the cluster for which it was created, "" if unknown."""

    name: str
    uid: str
    labels: dict[str, str]

    @classmethod
    def of(cls, obj: Json) -> Registration:
        return cls(*each_text([name_of(obj), recorded_uid(obj), labels_of(obj)]))

    @property
    def row(self) -> Json:
        """As it is kept in a cache, and given to expressions."""
        return self._asdict()


def registrations(rows: Any) -> list[Registration] | None:
    """Registrations from a cache; None if it is damaged."""
    found = [
        Registration(str(row.get("name") or ""), str(row.get("uid") or ""), texts(row.get("labels")))
        for row in mappings(rows)
    ]
    return found if found and len(found) == len(rows) else None


def hosts(
    contexts: Sequence[Context],
    options: Mapping[str, Any],
    registered: Sequence[Registration] | None = None,
) -> tuple[list[Host], list[str]]:
    """(the hosts, names of registered clusters without a context). Raises ClusterError.

    ``options``: contexts and management_context; ``registered``: the clusters of the management cluster, if they are
    wanted. The host of the management cluster is the first one.
    """
    found = [host for context in contexts if (host := _named(context, options["contexts"]))]
    if not found:
        raise ClusterError(
            f"contexts: no context matches (contexts: {_listed(each.name for each in contexts)}). Correct the patterns"
        )
    missing: list[str] = []
    if registered is not None:
        management = management_host(contexts, options)
        by_name = {each.name: each for each in registered if each.name}
        chosen = [host for host in found if host.context == management.context or host.name in by_name]
        chosen.sort(key=lambda host: host.context != management.context)
        missing = sorted(by_name.keys() - {host.name for host in chosen})
        found = [Host(host.name, host.context, by_name.get(host.name)) for host in chosen]
    _check_names(found)
    return found, missing


def management_host(contexts: Sequence[Context], options: Mapping[str, Any]) -> Host:
    """The host of the option management_context. Raises ClusterError."""
    name = options["management_context"]
    having = [context for context in contexts if context.name == name]
    said = f"management_context is {shown(name)}"
    if not having:
        known = _listed(each.name for each in contexts)
        raise ClusterError(f"{said}: no kubeconfig has this context (contexts: {known}). Correct it, or kubeconfig")
    if len(having) > 1:
        places = " and ".join(each.kubeconfig for each in having)
        raise ClusterError(f"{said}: {places} have this context. Rename it in one of them")
    host = _named(having[0], options["contexts"])
    if host is None:
        raise ClusterError(f"{said}: no entry of contexts matches it. Add one")
    return host


def _named(context: Context, rules: Sequence[Any]) -> Host | None:
    """The host of a context, by the first rule that matches it."""
    for index, rule in enumerate(rules):
        pattern, name = (rule["pattern"], rule.get("name")) if isinstance(rule, Mapping) else (rule, None)
        matched = _compiled(pattern).fullmatch(context.name)
        if not matched:
            continue
        try:
            return Host(matched.expand(name) if name else context.name, context)
        except (re.error, LookupError) as exc:
            raise ClusterError(
                f"contexts[{index}].name is {shown(name)}: it does not fit the pattern ({exc}). Refer with \\1 to the "
                "first group of a pattern that begins with ~"
            ) from None
    return None


def _check_names(found: Sequence[Host]) -> None:
    """Raise ClusterError when two hosts have one name, or a name cannot be that of a cluster or of a host."""
    seen: dict[str, Host] = {}
    for host in found:
        other = seen.setdefault(host.name, host)
        if other is not host:
            raise ClusterError(
                f"{one_line(host.name)}: {_place(other)} and {_place(host)} give the same name of a host. Set contexts "
                "with pattern and name for one of them, or exclude it"
            )
        wrong = next(kinds.CLUSTER_NAME.problems("name", host.name, Surroundings()), None)
        why = "Ansible or the playbooks have a group of this name" if host.name in _RESERVED else wrong and wrong.wrong
        if why:
            raise ClusterError(
                f"{_place(host)} gives the host name {shown(host.name)}: {why}. Set contexts with pattern and name for "
                "it, or exclude it"
            )


def _place(host: Host) -> str:
    return f"context {shown(host.context.name)} of {host.context.kubeconfig}"


def _listed(names: Iterable[str]) -> str:
    unique = sorted({one_line(name)[:100] for name in names})
    more = f", and {len(unique) - _NAMES_SHOWN} more" if len(unique) > _NAMES_SHOWN else ""
    return (", ".join(unique[:_NAMES_SHOWN]) + more) or "none"


# -- groups and UIDs --------------------------------------------------------------------------------------------------


def groups(found: Sequence[Host], options: Mapping[str, Any]) -> dict[str, list[str]]:
    """Names of the hosts of each group. Raises ClusterError for a name that is no host.

    With management_context, the management cluster and the registered clusters are the defaults of their groups.
    """
    names = [host.name for host in found]
    managing = [host.name for host in found if host.context.name == options["management_context"]]
    defaults = {
        "management": managing,
        "workload": [host.name for host in found if host.registration and host.name not in managing],
    }
    return {
        group: defaults.get(group, []) if options[group] is None else _matching(group, options[group], names)
        for group in GROUPS
    }


def _matching(option: str, patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    for index, pattern in enumerate(patterns):
        if _is_name(pattern) and pattern not in names:
            raise _no_host(f"{option}[{index}] is {shown(pattern)}", names)
    compiled = [_compiled(pattern) for pattern in patterns]
    return [name for name in names if any(each.fullmatch(name) for each in compiled)]


def uids(found: Sequence[Host], options: Mapping[str, Any]) -> dict[str, str]:
    """The option cluster_uids. Raises ClusterError for a name that is no host."""
    names = [host.name for host in found]
    for name in options["cluster_uids"]:
        if name not in names:
            raise _no_host(f"cluster_uids has {shown(str(name))}", names)
    return dict(options["cluster_uids"])


def _no_host(said: str, names: Sequence[str]) -> ClusterError:
    return ClusterError(f"{said}: there is no such host (hosts: {_listed(names)}). Correct it, or contexts")
