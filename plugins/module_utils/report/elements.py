# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Elements of HTML, SVG and XML. Text and attributes are escaped when they are written: markup cannot be injected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union
from xml.etree import ElementTree as ET

Child = Union[ET.Element, str, Iterable["Child"], None]  # noqa: UP007 -- a forward reference in a string

_INLINE = frozenset({"a", "b", "code", "i", "span", "strong", "time", "title", "use"})


def element(tag: str, *children: Child, **attributes: Any) -> ET.Element:
    """An element. ``class_`` is class, an underscore a hyphen; None leaves out an attribute or a child."""
    given = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items() if value is not None}
    made = ET.Element(tag, given)
    for child in children:
        _append(made, child)
    return made


def _append(parent: ET.Element, child: Child) -> None:
    if child is None:
        return
    if isinstance(child, str):
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + child
        else:
            parent.text = (parent.text or "") + child
    elif isinstance(child, ET.Element):
        child.tail = None if child.tag in _INLINE else "\n"
        parent.append(child)
    else:
        for each in child:
            _append(parent, each)
