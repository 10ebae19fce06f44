# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Detects secrets in text by their shape, or by the name to which they are assigned (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .printable import printable

REDACTED = "(redacted)"

_SECRET_WORDS = (
    r"passw(?:or)?d|passphrase|pwd|(?<![a-z])pass(?![a-z])|token|secret|"
    r"(?:api|private|access|signing|encryption)[-_. ]?key|(?<!un)licen[cs](?:e(?:[ ]key)?|ing)|"
    r"credential|authorization|cookie|bearer|signature"
)
SECRET_NAME = re.compile(rf"(?i){_SECRET_WORDS}|[_-]key$")
# Names, locations and kinds of secrets are not secret: they are needed for diagnosis.
_REFERENCE = re.compile(
    r"(?i)(name|names|namespace|ref|refs|path|file|dir|type|policy|enabled|ttl|seconds|audience|secrets)$"
)

# Shorter values are often ordinary words.
_BLOB = 40
_HEX = 32
# The password may contain @ itself.
_URL_USER = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^/\s\"']+@")
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"-----BEGIN [A-Z0-9 ]+-----(?:.{0,8000}?-----END [A-Z0-9 ]+-----|[\sA-Za-z0-9+/=\\]*)", re.DOTALL),
        REDACTED,
    ),
    (_URL_USER, rf"\1{REDACTED}@"),
    # a header with several words
    (re.compile(r"(?i)(\bcookie\\*[\"']?\s*[:=]\s*)[^\"'\n]+"), rf"\1{REDACTED}"),
    (
        re.compile(
            r"(?i)(\bauthorization\\*[\"']?\s*[:=]\s*\\*[\"']?(?:digest|token|negotiate|api-?key|aws4[\w-]*)\s)[^'\n]+"
        ),
        rf"\1{REDACTED}",
    ),
    # keys of cloud providers and Git hosts, recognized by their prefix
    (
        re.compile(
            r"\b(?:A[KS]IA[A-Z0-9]{16}|AIza[\w-]{35}|xox[a-z]-[\w-]{10,}|gh[a-z]_\w{20,}|gl[a-z]{2,5}-[\w-]{20,}|"
            r"dckr_[a-z]{3}_[\w-]{20,}|[rs]k_(?:live|test)_\w{16,})"
        ),
        REDACTED,
    ),
    (re.compile(r"(?i)\b(bearer|basic)(\s+|%20)(\\*[\"']?)[A-Za-z0-9._~+/=%-]{4,}"), rf"\1 \3{REDACTED}"),
    # credentials of registries and curl
    (re.compile(r"(\"auth\\*\"\s*:\s*\\*\")[^\"\\\n]+"), rf"\1{REDACTED}"),
    (re.compile(r"((?<![\w-])(?:-u|--user)[ =]\s*[\"']?[^\s:\"'/]+:)[^\s\"']+"), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)*"), REDACTED),
    (re.compile(r"\b[A-Z0-9]{4,10}(?:-[A-Z0-9]{4,10}){3,}\b"), REDACTED),
    (re.compile(rf"(?<![0-9A-Za-z])(?<!sha256:)[0-9a-fA-F]{{{_HEX},}}(?![0-9A-Za-z])"), REDACTED),
)
_LONG = re.compile(rf"(?<!sha256:)(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{{{_BLOB},}}(?:=|%3D){{0,2}}")
# A path segment: name or kind of an object; the name of a variable.
_WORD = re.compile(r"[a-z0-9]{0,31}(?:-[a-z0-9]{0,31})*|[A-Z][A-Za-z]{0,39}|[A-Z0-9]{1,31}(?:_[A-Z0-9]{1,31})+")
_PEM_LINE = re.compile(r"(?:^|\s)(?:[A-Za-z0-9+/=]{4,}|\(redacted\))\s*$")
# A value, quoted or not, possibly truncated, a YAML block or a list of values; not an object, which has field names.
_VALUE = (
    r"(?!\{)(?:\[[^\]{\n]+\]|(?!\[)(?:[|>][+-]?[ ]*(?:\n[ \t]+[^\n]*)+|-[ ][^\n]+(?:\n[ \t]*-[ ][^\n]+)*|"
    r""""(?:[^"\\\n]|\\.)*"?|\\+"(?:[^"\\\n]|\\[^"\n])*(?:\\*")?|'[^'\n]*'?|[^\s,;&}\])"']+))"""
)
# Both start at the keyword, not at the name that contains it, so that each position of a long log is matched once.
_ASSIGNED = re.compile(
    rf"(?i)((?:{_SECRET_WORDS})[\w.-]{{0,80}}|[?&](?:key|sig|auth))"
    rf"(\\*(?:[\"']|%22)?\s*(?:[:=]>?|%3[AD])\s*)({_VALUE})"
)
# Name and value in sequence, as in a list of arguments, or as Envoy logs headers.
_LISTED = re.compile(
    rf"(?i)(\\{{0,7}}\"(?=-)|')([\w.-]{{0,80}}(?:{_SECRET_WORDS})[\w.-]{{0,80}})(\1,\s*\1)"
    r"(?!-|(?:(?!\1)[^\n])+\1\s*:)((?:(?!\1)[^\n])+)"
)
# The two fields of a variable, as JSON, YAML or Go write them.
_PAIR = re.compile(
    rf"(?i)(\bname\\*[\"']?\s*[:=]\s*\\*[\"']?[\w.-]{{0,80}}(?:{_SECRET_WORDS})[\w.-]{{0,80}})"
    rf"(\\*[\"']?\s*,?\s*\\*[\"']?value\\*[\"']?\s*[:=]\s*)({_VALUE})"
)
# In prose: 'license "..." expired', "token is abc123def". Only if quoted or with a digit, so not an ordinary word.
_TOLD = re.compile(
    r"(?i)\b((?:licen[cs]e|passw(?:or)?d|passphrase|token|(?:api|access)[-_ ]?key)(?:[ ]key)?)((?:\s+is)?:?\s+)"
    r"""(\\*"[^"\n]+"|'[^'\n]+'|(?=[^\s\d]*\d)(?=[^\sA-Za-z]*[A-Za-z])[^\s,;:/"')]{8,})"""
)
_FLAG = re.compile(rf"(?i)((?:{_SECRET_WORDS})[\w.-]{{0,80}})(\s+)(?!-)({_VALUE})")
_IS_FLAG = re.compile(r"(?:^|[^\w/.-])--?[\w.-]*$")
_FLAG_ALONE = re.compile(rf"(?i)^(?:--?[\w.-]{{0,80}}(?:{_SECRET_WORDS})[\w.-]{{0,80}}|-u|--user)$")
_PASSWORD = re.compile(r"://[^:/\s\"']*:([^/\s\"']+)@")
_OF_OBJECT = re.compile(r"/[\w.-]*$")


def text(value: str) -> str:
    """The text without values that have the shape of a secret or are assigned to the name of one; multiline.

    It is printable: the colours of a log would separate a name from its value.
    """
    value = printable(value)
    for pattern, instead in _SHAPES:
        value = pattern.sub(instead, value)
    value = _LONG.sub(lambda match: match[0] if all(map(_WORD.fullmatch, match[0].split("/"))) else REDACTED, value)
    if "-----END " in value:
        value = _without_truncated_pem(value)
    value = _FLAG.sub(_without_value, _ASSIGNED.sub(_without_value, value))
    value = _PAIR.sub(rf"\1\2{REDACTED}", value)
    value = _LISTED.sub(lambda m: m[0] if _REFERENCE.search(m[2]) else f"{m[1]}{m[2]}{m[3]}{REDACTED}", value)
    return _TOLD.sub(rf"\1\2{REDACTED}", value)


def _without_truncated_pem(value: str) -> str:
    """The text without the end of a key or certificate whose beginning is missing."""
    kept: list[str] = []
    for line in value.splitlines(keepends=True):
        if "-----END " in line:
            while kept and _PEM_LINE.search(kept[-1]):
                kept.pop()
            kept.append(f"{REDACTED}\n")
        else:
            kept.append(line)
    return "".join(kept)


def _without_value(match: re.Match[str]) -> str:
    name, between, _value = match.groups()
    return f"{name}{between}{REDACTED}" if _assigns(match) else match.group(0)


def _assigns(match: re.Match[str]) -> bool:
    """False for "secret gloo-mesh/relay-token: not found", which names an object, and for prose, which has no flags."""
    name, between, value = match.groups()
    before = match.string[max(0, match.start() - 80) : match.start()]
    if not between.strip():
        harmless = not _IS_FLAG.search(before)
    else:
        harmless = between.strip() == ":" and _OF_OBJECT.search(before) is not None
        # YAML: the next line starts with another key.
        harmless = harmless or ("\n" in between and value.endswith(":"))
        # Prose: "Error loading SSO Token: Token has expired".
        harmless = harmless or (between == ": " and value == name == name.capitalize())
    return not harmless and not _REFERENCE.search(name)


def names_secret(name: str) -> bool:
    """Whether a field or variable of that name contains a secret, not the name, location or kind of one."""
    return bool(SECRET_NAME.search(name)) and not _REFERENCE.search(name)


def is_secret_flag(word: str) -> bool:
    """Whether the word after this one on a command line is a secret."""
    return bool(_FLAG_ALONE.match(word)) and not _REFERENCE.search(word)


def assigned_secrets(value: str) -> Iterator[str]:
    """Values that a text assigns to names of secrets, and the passwords of its URLs."""
    value = printable(value)
    for match in _PASSWORD.finditer(value):
        yield match[1]
    for match in _ASSIGNED.finditer(value):
        if _assigns(match):
            yield match[3].strip("\\\"'")
