# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Renders the layout of picture.py. Lines are above clusters, inner boxes above lines (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree as ET

from .elements import element

Record = Mapping[str, Any]

# Symbols of verdicts: defined once per page and referenced.
_ROUND: dict[str, Any] = {"fill": "none", "stroke_linecap": "round", "stroke_linejoin": "round"}
_SHAPES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "ok": [
        ("circle", {"cx": 8, "cy": 8, "r": 8, "fill": "currentColor"}),
        ("path", {"class_": "sign", "d": "M4.4 8.3l2.5 2.5 4.7-5.2", "stroke_width": 1.8, **_ROUND}),
    ],
    "warning": [
        ("path", {"d": "M8 .8L15.6 14.6H.4z", "fill": "currentColor", "stroke": "currentColor"}),
        ("path", {"class_": "sign", "d": "M8 5.6v4M8 12v.1", "stroke_width": 1.9, **_ROUND}),
    ],
    "failed": [
        ("path", {"d": "M4.8.4h6.4l4.4 4.4v6.4l-4.4 4.4H4.8L.4 11.2V4.8z", "fill": "currentColor"}),
        ("path", {"class_": "sign", "d": "M5.3 5.3l5.4 5.4M10.7 5.3l-5.4 5.4", "stroke_width": 1.9, **_ROUND}),
    ],
    "skipped": [
        ("circle", {"cx": 8, "cy": 8, "r": 7, "stroke": "currentColor", "stroke_dasharray": "3.2 2.3", **_ROUND}),
        ("path", {"d": "M5 8h6", "stroke": "currentColor", "stroke_width": 1.8, **_ROUND}),
    ],
}


def symbols() -> ET.Element:
    """The shapes of the verdicts, which ``mark`` refers to."""
    found = [
        element("symbol", [element(tag, **given) for tag, given in shapes], id=verdict, viewBox="0 0 16 16")
        for verdict, shapes in _SHAPES.items()
    ]
    return element("svg", found, width=0, height=0, style="position: absolute", aria_hidden="true")


def mark(verdict: str, **place: Any) -> ET.Element:
    """The symbol of a verdict; inline in text unless a position is given."""
    where = place or {"aria_hidden": "true"}
    return element("svg", element("use", href=f"#{verdict}"), class_=f"mark {verdict}", viewBox="0 0 16 16", **where)


def legend(kind: str, path: str) -> ET.Element:
    """A sample of a line."""
    line = element("path", class_=f"line {kind}", d=path)
    return element("svg", line, width=30, height=8, viewBox="0 0 30 8", aria_hidden="true")


def drawing(layout: Record, name: str) -> ET.Element:
    """The picture; *name* is its class and the beginning of its ids."""
    boxes = layout["boxes"]
    return element(
        "svg",
        element("title", "Clusters, gateways and responses", id=f"{name}-title"),
        element("desc", layout["description"], id=f"{name}-desc"),
        _boxes(each for each in boxes if each["kind"] == "cluster"),
        (_line(each) for each in layout["lines"]),
        _boxes(each for each in boxes if each["kind"] != "cluster"),
        (mark(each["verdict"], x=each["x"], y=each["y"], width=14, height=14) for each in layout["marks"]),
        (_text(each) for each in layout["texts"]),
        class_=name,
        viewBox=f"0 0 {layout['width']} {layout['height']}",
        style=f"max-width: {layout['width']}px",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _boxes(found: Iterable[Record]) -> Iterator[ET.Element]:
    for each in found:
        place = {key: each[key] for key in ("x", "y", "width", "height")}
        radius = 8 if each["kind"] == "cluster" else 5
        yield element("rect", class_=f"b-{each['kind']} {each['verdict']}", **place, rx=radius)


def _line(line: Record) -> Iterator[ET.Element]:
    path = "M" + "L".join(f"{x} {y}" for x, y in line["points"])
    yield element("path", class_=f"line {line['kind']} {line['verdict']}", d=path)
    x, y = line["points"][-1]
    if line["arrow"]:
        yield element("path", class_=f"head {line['verdict']}", d=f"M{x - 4} {y - 3.5}l4 3.5-4 3.5")
    elif line["verdict"] == "sent":
        yield element("circle", class_="source", cx=x, cy=y, r=3)


def _text(text: Record) -> ET.Element:
    full = element("title", text["full"]) if text["full"] else None
    anchor = text["anchor"] if text["anchor"] != "start" else None
    return element("text", text["text"], full, class_=f"t-{text['kind']}", x=text["x"], y=text["y"], text_anchor=anchor)
