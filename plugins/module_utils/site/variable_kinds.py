# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kinds of values that a variable can have, each with a check that says what is wrong (pure).

A problem is one line, ``<variable>.<field>[<index>] is <value>: <what is wrong>. <what to do>``. Only values that
cannot work are problems. A value is shown only if it is a short text or a number, and no secret.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from ..k8s.printable import one_line, printable
from ..k8s.secret_text import text as redacted

_LONGEST_VALUE = 50
_LONGEST_READ = 2000
_SWITCHES = frozenset(["true", "yes", "on", "y", "t", "1", "false", "no", "off", "n", "f", "0"])
_LARGEST = 2**31 - 1
# user:password@host
_USER = re.compile(r"[^\s/:@]:[^\s/@]+@")


@dataclass(frozen=True)
class Surroundings:
    """What values are compared with.

    ``hosts``: of the inventory, None if not known; ``program_problem`` and ``file_problem``: what is wrong with the
    path of a program or of a file with variables, "" if nothing is.
    """

    hosts: frozenset[str] | None = None
    program_problem: Callable[[str], str] = lambda _path: ""
    file_problem: Callable[[str], str] = lambda _path: ""


class Problem(NamedTuple):
    """One line about a value. ``state``: what it is; ``owner``: namespace and name of the object that contains it."""

    path: str
    state: str
    wrong: str
    todo: str
    owner: str = ""

    def __str__(self) -> str:
        where = f"{self.path} ({self.owner})" if self.owner else self.path
        return f"{where} is {self.state}: {self.wrong}. {self.todo}"


Problems = Iterator[Problem]


def problem(path: str, value: Any, wrong: str, todo: str, hidden: bool = False) -> Problem:
    """The problem of a value. ``hidden``: its content is not shown."""
    return Problem(path, described(value) if hidden else shown(value), wrong, todo)


def shown(value: Any) -> str:
    """The value for a message: printable, on one line, short, without secrets."""
    if isinstance(value, bool | int | float):
        return str(value).lower()[:_LONGEST_VALUE]
    if not isinstance(value, str) or not value:
        return described(value)
    line = one_line(value[:_LONGEST_READ])
    if redacted(line) != line or _USER.search(line):
        return f"text of {len(value)} characters"
    # Some look like others, or like nothing.
    odd = next((f" with U+{ord(each):04X}" for each in value if not each.isascii()), "")
    return (f"'{line}'" if len(line) <= _LONGEST_VALUE else f"'{line[:_LONGEST_VALUE]}...'") + odd


def described(value: Any) -> str:
    """What a value is, without its content."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return "text" if value else "empty"
    if isinstance(value, bool | int | float):
        return "a boolean" if isinstance(value, bool) else "a number"
    name = "dictionary" if isinstance(value, Mapping) else "list"
    return f"a {name}" if value else f"an empty {name}"


def key_path(path: str, key: str) -> str:
    """The path of a field, with the same care as for values."""
    plain = re.fullmatch(rf"[\w./-]{{1,{_LONGEST_VALUE}}}", key) and redacted(key) == key
    return f"{path}.{key}" if plain else f"{path}[{shown(key)}]"


class Rule(NamedTuple):
    """What a text has to fulfil; ``wrong`` and ``todo`` are for the message if it does not."""

    fits: Callable[[str], bool]
    wrong: str
    todo: str


@dataclass(frozen=True, kw_only=True)
class Kind:
    """``types``: those of argument specs that describe it; ``null``: whether null means that it is not set."""

    types: ClassVar[tuple[str, ...]] = ()
    null: bool = False
    todo: str = ""

    @property
    def hint(self) -> str:
        """What to do where the value is missing."""
        return self.todo

    def problems(self, path: str, value: Any, around: Surroundings) -> Problems:
        """Every problem of the value."""
        if value is not None:
            yield from self.check(path, value, around)
        elif not self.null:
            yield problem(path, value, "no value", self.hint)

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        """Every problem of a value that is not null."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Text(Kind):
    """``empty``: whether it may be empty; ``numbers``: whether numbers and booleans are as good; ``secret``: whether it
    is never shown; ``choices``: all values, if there are only some."""

    types: ClassVar[tuple[str, ...]] = ("str", "path")
    todo: str = "Set text"
    rules: tuple[Rule, ...] = ()
    empty: bool = False
    numbers: bool = False
    secret: bool = False
    choices: tuple[str, ...] = ()

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        if isinstance(value, list | Mapping):
            yield problem(path, value, "not text", self.todo)
        elif not isinstance(value, str):
            read = "boolean" if isinstance(value, bool) else "number"
            if not self.numbers:
                yield problem(path, value, f"YAML reads it as a {read}", "Put it in quotes", self.secret)
        elif not value:
            if not self.empty:
                yield problem(path, value, "no value", self.todo)
        elif self.choices and value not in self.choices:
            yield problem(path, value, "not one of the choices", self.todo, self.secret)
        elif printable(value) != value or "\n" in value.strip():
            yield problem(path, value, "contains control characters or line breaks", self.todo, self.secret)
        else:
            broken = next((rule for rule in self.rules if not rule.fits(value)), None)
            if broken:
                yield problem(path, value, broken.wrong, broken.todo, self.secret)
            else:
                yield from self.look(path, value, around)

    def look(self, path: str, value: str, around: Surroundings) -> Problems:
        """Problems of a valid text with its surroundings."""
        return iter(())


def text_of(wrong: str, todo: str, fits: Callable[[str], bool], *more: Rule, **options: Any) -> Text:
    """Text with one rule or more."""
    return Text(rules=(Rule(fits, wrong, todo), *more), todo=todo, **options)


def choice(*choices: str, **options: Any) -> Text:
    """One of some words; with an empty one among them it may be empty."""
    *first, last = [word for word in choices if word]
    todo = f"Set {', '.join(first)} or {last}" if first else f"Set {last}"
    return Text(choices=choices, todo=todo, empty="" in choices, **options)


@dataclass(frozen=True, kw_only=True)
class Host(Text):
    """A host of the inventory."""

    todo: str = "Set the name of a host of the inventory"

    def look(self, path: str, value: str, around: Surroundings) -> Problems:
        if around.hosts is not None and value not in around.hosts:
            near = difflib.get_close_matches(value[:100], sorted(around.hosts), 1)
            todo = f"Set {near[0]}" if near else self.todo
            yield problem(path, value, "the inventory has no such host", f"{todo}, or add the host to the inventory")


@dataclass(frozen=True, kw_only=True)
class Program(Text):
    """Path of a program, or its name in PATH."""

    def look(self, path: str, value: str, around: Surroundings) -> Problems:
        if wrong := around.program_problem(value):
            yield problem(path, value, wrong, self.todo)


@dataclass(frozen=True, kw_only=True)
class VariableFile(Text):
    """Path of a file with variables, as in vars_files."""

    def look(self, path: str, value: str, around: Surroundings) -> Problems:
        if wrong := around.file_problem(value):
            yield problem(path, value, wrong, self.todo)


@dataclass(frozen=True, kw_only=True)
class Number(Kind):
    """A whole number. ``digits``: whether text of digits is as good, as from the command line."""

    types: ClassVar[tuple[str, ...]] = ("int",)
    least: int = 0
    most: int = _LARGEST
    digits: bool = True
    wrong: str = "not a whole number"

    @property
    def hint(self) -> str:
        limits = f"of at least {self.least}" if self.most == _LARGEST else f"from {self.least} to {self.most}"
        return self.todo or f"Set a number {limits}"

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        number = self._number(value)
        if number is None and not self.digits and isinstance(value, str) and re.fullmatch("[0-9]+", value):
            yield problem(path, value, "text, not a number", "Remove the quotes, or use the filter int")
        elif number is None:
            yield problem(path, value, self.wrong, self.hint)
        elif not self.least <= number <= self.most:
            wrong = f"less than {self.least}" if number < self.least else f"more than {self.most}"
            yield problem(path, value, wrong, self.hint)

    def _number(self, value: Any) -> int | None:
        if isinstance(value, str):
            return int(value) if self.digits and re.fullmatch(r"\s*[-+]?[0-9]{1,18}\s*", value) else None
        if isinstance(value, float):
            return int(value) if self.digits and value.is_integer() else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(frozen=True, kw_only=True)
class Switch(Kind):
    """A boolean, in any way in which Ansible writes it."""

    types: ClassVar[tuple[str, ...]] = ("bool",)
    todo: str = "Set true or false"

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        if isinstance(value, list | Mapping) or str(value).strip().lower().removesuffix(".0") not in _SWITCHES:
            yield problem(path, value, "neither true nor false", self.todo)


@dataclass(frozen=True, kw_only=True)
class Anything(Kind):
    """Any value, also null: data that others define."""

    types: ClassVar[tuple[str, ...]] = ("raw",)
    null: bool = True

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        return iter(())


@dataclass(frozen=True, kw_only=True)
class ListOf(Kind):
    """``comma``: whether text is as good, which modules split at commas; ``owner``: namespace and name of an entry that
    is an object; ``rule``: further problems of the list."""

    types: ClassVar[tuple[str, ...]] = ("list",)
    item: Kind
    empty: bool = True
    comma: bool = False
    todo: str = "Set a list"
    owner: Callable[[Any], str] = lambda _entry: ""
    rule: Callable[[str, Sequence[Any]], Problems] | None = None

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        if self.comma and isinstance(value, str) and value:
            value = [part.strip() for part in value.split(",")]
        if not isinstance(value, list):
            yield problem(path, value, "not a list", self.todo, hidden=True)
            return
        if not value and not self.empty:
            yield problem(path, value, "at least one entry is required", self.todo)
        for index, each in enumerate(value):
            for found in self.item.problems(f"{path}[{index}]", each, around):
                yield found._replace(owner=found.owner or self.owner(each))
        if self.rule:
            yield from self.rule(path, value)


@dataclass(frozen=True, kw_only=True)
class MapOf(Kind):
    """A dictionary with keys of one kind and values of one kind."""

    types: ClassVar[tuple[str, ...]] = ("dict",)
    value: Kind = field(default_factory=Anything)
    key: Kind = field(default_factory=Text)
    todo: str = "Set a dictionary"

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        if not isinstance(value, Mapping):
            yield problem(path, value, "not a dictionary", self.todo, hidden=True)
            return
        for key, each in value.items():
            yield from self.key.problems(f"{path} (key)", str(key), around)
            yield from self.value.problems(key_path(path, str(key)), each, around)


@dataclass(frozen=True, kw_only=True)
class Fields(Kind):
    """A dictionary with fields of its own.

    ``required``: those that must be there; ``others``: whether there may be fields of other names; ``nulls``: whether
    null means that a field is not set; ``what``: the dictionary in messages, ``noun``: one of its fields; ``rule``: its
    further problems.
    """

    types: ClassVar[tuple[str, ...]] = ("dict",)
    fields: Mapping[str, Kind]
    required: tuple[str, ...] = ()
    others: bool = False
    nulls: bool = False
    what: str
    noun: str = "field"
    todo: str = "Set a dictionary"
    rule: Callable[[str, Mapping[str, Any]], Problems] | None = None

    def check(self, path: str, value: Any, around: Surroundings) -> Problems:
        if not isinstance(value, Mapping):
            yield problem(path, value, "not a dictionary", self.todo, hidden=True)
            return
        if self.required and not value:
            yield problem(path, value, "no value", self.todo)
            return
        for name in self.required:
            if value.get(name) is None:
                yield Problem(f"{path}.{name}", "missing", f"{self.what} needs it", self.fields[name].hint)
        for name, each in value.items():
            kind = self.fields.get(str(name))
            if kind is None and not self.others:
                near = difflib.get_close_matches(str(name)[:100], self.fields, 1)
                todo = f"Use {', '.join(near or self.fields)}"
                wrong = f"{self.what} has no such {self.noun}"
                yield problem(key_path(path, str(name)), each, wrong, todo, hidden=True)
            elif kind and not (each is None and (self.nulls or name in self.required)):
                yield from kind.problems(f"{path}.{name}", each, around)
        if self.rule:
            yield from self.rule(path, value)
