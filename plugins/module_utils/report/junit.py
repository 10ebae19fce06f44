# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as JUnit XML: a test suite for each cluster, a test case for each check (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from .elements import element

Record = Mapping[str, Any]


def document(view: Record, title: str) -> str:
    """The whole file of a view."""
    suites = [_suite(cluster, view["time"].replace("Z", "")) for cluster in view["clusters"]]
    root = element("testsuites", suites, name=title, **_numbers(view["counts"]), time=view["seconds"])
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _numbers(counts: Mapping[str, int]) -> dict[str, int]:
    return {"tests": sum(counts.values()), "failures": counts["failed"], "errors": 0, "skipped": counts["skipped"]}


def _suite(cluster: Record, time: str) -> ET.Element:
    cases = [_case(cluster["cluster"], check) for check in cluster["checks"]]
    return element("testsuite", cases, name=cluster["cluster"], **_numbers(cluster["counts"]), timestamp=time)


def _case(cluster: str, check: Record) -> ET.Element:
    object_ = f" ({check['object']})" if check["object"] else ""
    return element("testcase", _outcome(check), classname=f"{cluster}.{check['id']}", name=f"{check['check']}{object_}")


def _outcome(check: Record) -> ET.Element:
    """JUnit has no warnings: a check with one passes, and its text is the output of the test case."""
    message, advice = check["message"], "\n".join(filter(None, (check["hint"], check["link"] or check["doc"])))
    if check["verdict"] == "failed":
        return element("failure", f"{message}\n{advice}", type=check["id"], message=message)
    if check["verdict"] == "skipped":
        return element("skipped", message=message)
    return element("system-out", f"warning: {message}\n{advice}" if check["verdict"] == "warning" else message)
