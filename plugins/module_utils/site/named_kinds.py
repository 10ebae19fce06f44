# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds that several variables have: names, hosts, addresses, charts, versions, images (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..k8s.names import dns_label, dns_name, host_port
from ..k8s.yaml_text import yaml_keeps
from .variable_kinds import Fields, Host, Kind, ListOf, MapOf, Number, Rule, Switch, Text, choice, text_of


def matches(pattern: str) -> Callable[[str], bool]:
    """Whether a whole text matches."""
    compiled = re.compile(pattern)
    return lambda text: compiled.fullmatch(text) is not None


# -- names ------------------------------------------------------------------------------------------------------------

_LOWER = "Use lower-case letters, digits and dashes"


def label(**options: Any) -> Text:
    """One part of a DNS name."""
    return text_of("not a valid name", f"{_LOWER}, at most 63 characters", dns_label, **options)


def subdomain(**options: Any) -> Text:
    """Name of most objects."""
    return text_of("not a valid name", f"{_LOWER}, and dots between parts", dns_name, **options)


def namespace(**options: Any) -> Text:
    """Name of a namespace."""
    return text_of("not a valid namespace name", f"{_LOWER}, at most 63 characters", dns_label, **options)


def helm_release(**options: Any) -> Text:
    """Name of a Helm release."""
    fits = matches(r"(?=.{1,53}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
    return text_of("not a valid name of a Helm release", f"{_LOWER}, at most 53 characters", fits, **options)


def revision(**options: Any) -> Text:
    """Istio revision or tag: a label, and a part of the names of istiod's objects."""
    fits = matches(r"[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?")
    return text_of("not a valid revision", f"{_LOWER}, such as 1-27", fits, **options)


def unquoted(wrong: str, todo: str) -> Rule:
    """For text that kgateway writes into YAML without quotes."""
    return Rule(yaml_keeps, f"the controller writes it unquoted, and YAML does not read {wrong} as a string", todo)


NAMESPACE = namespace()
CLUSTER_NAME = text_of(
    "Gloo accepts only lower-case letters, digits, dashes and dots, and only a name that is a string in unquoted YAML",
    "Rename the inventory host or set mesh_cluster_name",
    lambda text: dns_name(text) and yaml_keeps(text),
)
# Longer names than labels may have: some controllers shorten them.
GATEWAY = text_of(
    "not a valid name",
    _LOWER,
    matches("[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?"),
    unquoted("it", "Use a name such as gateway-1"),
)
SERVICE = text_of(
    "not a valid name of a Service and a Helm release",
    f"{_LOWER}, at most 53 characters, the first one a letter",
    matches(r"(?=.{1,53}$)[a-z]([-a-z0-9]*[a-z0-9])?"),
)
_is_label_value = matches(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = text_of(
    "not a valid value of a label",
    "Use at most 63 letters, digits, dashes, underscores and dots",
    _is_label_value,
    empty=True,
)
LABEL_KEY = text_of(
    "not a valid name of a label",
    "Use a name such as app or example.com/app",
    lambda text: (
        _is_label_value(text.rpartition("/")[2])
        and text.count("/") <= 1
        and ("/" not in text or dns_name(text.partition("/")[0]))
    ),
)
SECRETS = ListOf(item=subdomain(), todo="Set a list of names of Secrets")
VARIABLE_NAME = text_of(
    "not a valid name of an environment variable",
    "Use letters, digits and underscores",
    matches(r"[-._A-Za-z][-._A-Za-z0-9]*"),
)
ENVIRONMENT = MapOf(
    key=VARIABLE_NAME,
    value=Text(numbers=True, empty=True, null=True, secret=True),
    todo="Set a dictionary of names and values",
)

# -- hosts and addresses ----------------------------------------------------------------------------------------------

HOST = Host()


def hosts(**options: Any) -> ListOf:
    """Hosts of the inventory."""
    return ListOf(item=HOST, todo="Set a list of hosts of the inventory", **options)


def address(example: str, *more: Rule) -> Text:
    """host:port, discovered when empty."""
    todo = f"Use a value such as {example}, or leave it empty to discover it"
    return text_of("not in the form host:port", todo, host_port, *more, empty=True)


def is_url(text: str) -> bool:
    """Whether it is a URL of any scheme, with a host or a path."""
    try:
        parts = urlsplit(text)
        return (
            matches(r"[a-z][a-z0-9+.-]*")(parts.scheme)
            and bool(parts.netloc or parts.path)
            and "://" in text
            and not re.search(r"\s", text)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False


def is_http_url(text: str) -> bool:
    """Whether requests can be sent to it."""
    return is_url(text) and text.startswith(("http://", "https://")) and bool(urlsplit(text).hostname)


KUBECONFIG = text_of(
    "not a path",
    "Set the path of a kubeconfig",
    # Its content, in one line or in base64, is often given instead.
    lambda text: not text.lstrip().startswith("{") and all(len(part) < 256 for part in re.split("[/:]", text)),
    secret=True,
)
ADDRESS = text_of(
    "not an address",
    "Set an IP address or a host name",
    lambda text: host_port(f"{text}:1") or host_port(f"[{text}]:1"),
)
HTTP_URL = text_of("not a URL", "Set a URL such as https://192.0.2.1:8443", is_http_url, empty=True, null=True)
#: a port as the API accepts it: a number, not text
PORT_FIELD = Number(least=1, most=65535, digits=False, wrong="not a port")
PORT = Number(least=1, most=65535, wrong="not a port")
DNS_HOST = text_of("not a DNS name", "Set a DNS name in lower case, without wildcard", dns_name)
WILDCARD_HOST = text_of(
    "not a DNS name",
    "Set a DNS name in lower case, or *.name",
    lambda text: dns_name(text.removeprefix("*.")) and not matches("[0-9.]+")(text),
)

# -- charts, versions, images -----------------------------------------------------------------------------------------

_CLAUSE = re.compile(r"[=<>!~^]{0,2}v?[0-9xX*]+(\.[0-9xX*]+){0,2}([-+][0-9A-Za-z.+-]+)?")


def is_version_range(text: str) -> bool:
    """Whether Helm reads it as a version or a range of versions."""
    joined = re.sub(r"([=<>!~^])\s+", r"\1", text.strip())
    clauses = re.split(r"\s+-\s+|\s*\|\|\s*|\s*,\s*|\s+", joined)
    return len(text) <= 200 and all(map(_CLAUSE.fullmatch, clauses))


VERSION = text_of(
    "not a version", "Use a value such as 1.2.0", matches(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}([-+][0-9A-Za-z.+-]+)?")
)
ISTIO_VERSION = text_of(
    "not a version with three numbers",
    "Use a value such as 1.27.0",
    matches(r"[0-9]+\.[0-9]+\.[0-9]+([-+.][0-9A-Za-z.+-]*)?"),
    Rule(
        lambda text: "-solo" not in text,
        "the Gloo Operator expects a version without the suffix -solo",
        "Use a value such as 1.27.0",
    ),
)


def chart(required: tuple[str, ...] = ()) -> Fields:
    """Source of a chart."""
    return Fields(
        fields={
            "ref": text_of(
                "not a chart",
                "Set a path, an oci:// URL or the name of a chart in repo_url",
                lambda text: not text.startswith("-") and (not re.match(r"(oci|https?):", text) or is_url(text)),
            ),
            "version": text_of("not a version", "Use a value such as 1.2.3", is_version_range, empty=True, null=True),
            "repo_url": text_of(
                "not a URL", "Set a URL such as https://charts.example.com", is_url, empty=True, null=True
            ),
            "allow_downgrade": Switch(),
            "upgrade_adopted": Switch(),
        },
        required=required,
        what="a chart",
        todo="Set ref, version and repo_url",
    )


VALUES = MapOf(todo="Set a dictionary of Helm values")
SPEC = MapOf(todo="Set a dictionary of its fields")

_NAME = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
# A first part without dot or port is a part of the name.
_REGISTRY = r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:)|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)"
_REFERENCE = rf"{_REGISTRY}?{_NAME}(?:/{_NAME})*"
_TAG, _DIGEST = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}"
IMAGE = text_of(
    "not an image reference",
    "Use a value such as registry.example.com/name:tag",
    matches(rf"{_REFERENCE}(?::{_TAG})?(?:@{_DIGEST})?"),
)
IMAGE_PREFIX = text_of(
    "not the beginning of an image reference",
    "Use a value such as registry.example.com/name-",
    lambda text: matches(_REFERENCE)(f"{text}a"),
    empty=True,
)
IMAGE_TAG = text_of("not a tag", "Set a tag such as 1.20.3", matches(rf"{_TAG}(?:@{_DIGEST})?"))
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
IMAGE_PARTS = Fields(
    fields={
        "registry": Text(empty=True),
        "repository": Text(empty=True),
        "tag": text_of("not a tag", "Set a tag such as 1.2.3", matches(_TAG), empty=True),
        "digest": text_of("not a digest", "Use a value such as sha256:0123...", matches(_DIGEST), empty=True),
        "pullPolicy": choice(*PULL_POLICIES),
        "pull_policy": choice(*PULL_POLICIES),
    },
    nulls=True,
    what="an image",
    todo="Set registry, repository, tag, digest or pullPolicy",
)

# -- the rest ---------------------------------------------------------------------------------------------------------

SECONDS = Number(wrong="not a number of seconds", todo="Set a whole number of seconds, 0 or more")
#: of playbooks, which have a default for null
LIMIT = Number(null=True, wrong="not a number of seconds", todo="Set a whole number of seconds, 0 or more")
AMOUNT = Number(least=1, null=True)
LICENCE = text_of(
    "contains characters that no key has",
    "Set a key, or leave it empty",
    matches(r"\s*[!-~][ -~]*\s*"),
    empty=True,
    secret=True,
)
CRD_SWITCHES = MapOf(
    value=ListOf(item=subdomain(), todo="Set a list of names of CRDs"), todo="Set lists of names of CRDs, by switch"
)
ISTIOD = MapOf(todo="Set istiod of the fact mesh_result")


def layers(*names: str) -> Fields:
    """Modes by layer."""
    fields: dict[str, Kind] = dict.fromkeys(names, choice("auto", "use", "manage"))
    return Fields(fields=fields, what="the role", noun="layer", todo=f"Set auto, use or manage for {', '.join(names)}")
