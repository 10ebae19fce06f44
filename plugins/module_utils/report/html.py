# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as one HTML page that needs no network and no script (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from . import picture, svg
from .elements import Child, element
from .style import CSS
from .view import TIMES, VERDICTS

Record = Mapping[str, Any]

# More clusters than this do not fit on one printed page.
MANY = 6
# Pixels of the picture on a wide screen, on a tablet and on a phone.
WIDTHS = {"wide": 1214, "medium": 700, "narrow": 340}
MEANINGS = {"ok": "healthy", "warning": "healthy with warnings", "failed": "failed", "skipped": "not evaluated"}


def document(view: Record, title: str) -> str:
    """The whole page of a view."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{view['verdict']}: {view['headline']} - {title}"),
        element("style", CSS),
    )
    main = element(
        "main", _picture(view), _checks(view), _responses(view), _routing(view), _gateways(view), _facts(view)
    )
    footer = element("footer", f"Read-only check by multicluster.gloo, {_time(view)}, {view['seconds']:.1f} s.")
    body = element("body", svg.symbols(), _header(view, title), main, footer)
    page = ET.tostring(element("html", head, body, lang="en"), encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{page}\n"


# -- small parts -----------------------------------------------------------------------------------------------------


def _muted(*children: Child) -> ET.Element:
    return element("span", *children, class_="muted")


def _verdict(verdict: str, text: Child = None) -> ET.Element:
    return element("span", svg.mark(verdict), element("span", text or verdict), class_=f"verdict {verdict}")


def _counts(counts: Mapping[str, int]) -> ET.Element:
    shown = [element("li", _verdict(each, f"{counts[each]} {each}")) for each in VERDICTS if counts[each]]
    return element("ul", shown, class_="counts")


def _terms(facts: Iterable[Record]) -> ET.Element:
    return element("dl", ([element("dt", each["term"]), element("dd", each["value"])] for each in facts))


def _doc(check: Record) -> list[Child]:
    if check["link"]:
        return [element("a", f"More on {check['id']}", href=check["link"])]
    return ["More: ", element("code", check["doc"])] if check["doc"] else []


def _time(view: Record) -> str:
    return str(view["time"]).replace("T", " ").replace("Z", " UTC")


def _what_to_do(check: Record, tag: str) -> ET.Element | None:
    if not check["hint"]:
        return None
    return element(tag, element("strong", "What to do:"), " ", check["hint"], class_="hint")


def _table(titles: Sequence[Child], rows: Iterable[Child], label: str, class_: str | None = None) -> ET.Element:
    """A table that is stacked on small screens; ARIA roles keep it a table for screen readers."""
    heads = [element("th", each, scope="col", role="columnheader") for each in titles]
    return element(
        "table",
        element("thead", element("tr", heads, role="row"), role="rowgroup"),
        element("tbody", rows, role="rowgroup"),
        class_=class_,
        role="table",
        aria_label=label,
    )


def _row(*cells: Child) -> ET.Element:
    return element("tr", [element("td", each, role="cell") for each in cells], role="row")


def _plain_table(caption: Child, titles: Sequence[str], rows: Iterable[Child], label: str) -> ET.Element:
    """A table whose last column is a number."""
    *left, last = titles
    heads = [*(element("th", each, scope="col") for each in left), element("th", last, scope="col", class_="number")]
    head = element("thead", element("tr", heads))
    return element("table", element("caption", caption), head, element("tbody", rows), aria_label=label)


# -- sections --------------------------------------------------------------------------------------------------------


def _header(view: Record, title: str) -> ET.Element:
    time = element("time", _time(view), class_="nowrap", datetime=view["time"])
    texts = element(
        "div",
        element("h1", view["headline"]),
        element("p", view["summary"], ", ", time, class_="muted"),
        _counts(view["counts"]),
    )
    headline = element("div", svg.mark(view["verdict"]), texts, class_="headline")
    return element("header", element("p", title, class_="over"), headline, _first(view["first"]))


def _first(check: Record | None) -> ET.Element | None:
    if not check:
        return None
    label = "First failure" if check["verdict"] == "failed" else "First warning"
    object_: list[Child] = [element("code", check["object"]), " · "] if check["object"] else []
    return element(
        "section",
        element("p", label, class_="over"),
        element("h2", svg.mark(check["verdict"]), f" {check['cluster']}: {check['check']}"),
        element("p", check["message"]),
        _what_to_do(check, "p"),
        element("p", object_, _doc(check), class_="doc muted"),
        class_=f"cause {check['verdict']}",
    )


def _picture(view: Record) -> Iterator[ET.Element]:
    yield element("h2", "Topology")
    meanings = [
        element("span", svg.mark(verdict), _muted(meaning), class_=f"verdict {verdict}")
        for verdict, meaning in MEANINGS.items()
    ]
    traffic = element("span", svg.legend("traffic", "M0 4H29M25 1l4 3-4 3"), " requests through a gateway, responses")
    relay = element("span", svg.legend("relay", "M1 4H30"), " relay")
    yield element(
        "figure",
        [svg.drawing(picture.layout(view, width), name) for name, width in WIDTHS.items()],
        element("figcaption", meanings, traffic, relay),
        class_="picture card many" if len(view["clusters"]) > MANY else "picture card",
    )


def _checks(view: Record) -> Iterator[ET.Element]:
    yield element("h2", "Checks")
    found = [_checks_of(cluster) for cluster in view["clusters"] if cluster["checks"]]
    yield element("div", found or element("p", "None.", class_="muted"), class_="stack")


def _checks_of(cluster: Record) -> ET.Element:
    name = element("h3", cluster["cluster"] or "All clusters")
    summary = element("summary", name, _muted(cluster["role"]), _counts(cluster["counts"]))
    rows = [_check(each) for each in cluster["checks"]]
    table = _table(("Verdict", "Check", "Result"), rows, f"Checks of {cluster['cluster']}", "checks stacked")
    unfolded = "" if cluster["verdict"] in ("failed", "warning") else None
    return element("details", summary, table, class_="card", open=unfolded)


def _check(check: Record) -> ET.Element:
    wrong = check["verdict"] in ("failed", "warning")
    doc = _doc(check) if wrong else []
    return _row(
        _verdict(check["verdict"]),
        [check["check"], element("code", check["object"], class_="object") if check["object"] else None],
        [
            element("span", check["message"], class_="seen"),
            _what_to_do(check, "span") if wrong else None,
            element("span", doc, class_="doc") if doc else None,
        ],
    )


def _responses(view: Record) -> Iterator[ET.Element]:
    if view["proofs"]:
        yield element("h2", "Responses")
        yield element(
            "div", [element("section", _proof(each), class_="card") for each in view["proofs"]], class_="grid"
        )


def _proof(proof: Record) -> ET.Element:
    sender = "through the gateway of" if proof["url"] else "from a Pod of"
    request = element("code", f"GET {proof['path']}")
    sent = _muted(f"{proof['sent']} {TIMES} ", request, f" {sender} {proof['cluster']}")
    rows = [
        _responder(
            [element("code", each["instance"]), element("br"), _muted(each["cluster"] or "unknown cluster")], each, None
        )
        for each in proof["answers"]
    ]
    rows += [
        _responder([_verdict("failed", f"failed: {each['status']}")], each, "failed") for each in proof["failures"]
    ]
    if not rows:
        rows = [element("tr", element("td", "no response", colspan=2, class_="muted"))]
    return _plain_table([element("h3", proof["proof"]), sent], ("Instance", "Responses"), rows, proof["proof"])


def _responder(name: Sequence[Child], counted: Record, class_: str | None) -> ET.Element:
    share = element("span", element("i", class_=class_, style=f"width: {counted['percent']}%"), class_="bar")
    return element("tr", element("td", name, share), element("td", str(counted["count"]), class_="number"))


def _routing(view: Record) -> Iterator[ET.Element]:
    tables = []
    if view["destinations"]:
        rows = [_destination(each) for each in view["destinations"]]
        tables.append(_table(("Destination", "State", "Instances"), rows, "Destinations", "stacked"))
    if view["routes"]:
        rows = [_route(each) for each in view["routes"]]
        tables.append(_table(("HTTPRoute", "Gateway", "Hostnames", "Backends"), rows, "Routes", "stacked"))
    if tables:
        yield element("h2", "Destinations and routes")
        yield element("div", [element("div", each, class_="card") for each in tables], class_="stack")


def _destination(destination: Record) -> ET.Element:
    instances: list[Child] = [
        [
            svg.mark("ok" if one["ready"] else "failed"),
            " ",
            element("code", one["pod"]),
            " ",
            _muted(f"in {one['cluster']}{'' if one['ready'] else ', not ready'}"),
            element("br"),
        ]
        for one in destination["instances"]
    ]
    return _row(
        [element("code", destination["title"]), element("br"), _muted(destination["object"])],
        _verdict(destination["verdict"], destination["state"]),
        instances or _muted("none"),
    )


def _route(route: Record) -> ET.Element:
    def labelled(label: str, text: str, otherwise: str = "") -> list[Child]:
        shown = element("code", text) if text else _muted(otherwise)
        return [element("span", f"{label} ", class_="label muted"), shown]

    return _row(
        [element("code", f"{route['namespace']}/{route['name']}"), " ", _muted(f"in {route['cluster']}")],
        labelled("Gateway", route["gateway"]),
        labelled("Hostnames", ", ".join(route["hostnames"]), "any"),
        labelled("Backends", ", ".join(route["backends"])),
    )


def _gateways(view: Record) -> Iterator[ET.Element]:
    found = [_gateway(each) for cluster in view["clusters"] for each in cluster["gateways"]]
    if found:
        yield element("h2", "Gateways")
        yield element("div", found, class_="stack")


def _gateway(gateway: Record) -> ET.Element:
    name = [element("h3", gateway["name"]), _muted(gateway["cluster"]), _verdict(gateway["verdict"], gateway["state"])]
    pods = element("div", [_pod(each) for each in gateway["pods"]])
    return element(
        "section",
        element("div", name, class_="title"),
        [element("p", each) for each in gateway["problems"]],
        element("div", _terms(gateway["facts"]), pods, class_="halves"),
        class_="card gateway",
    )


def _pod(pod: Record) -> ET.Element:
    phase = f"{pod['phase']}{'' if pod['current'] else ', of an older ReplicaSet'}"
    rows = [_container(each) for each in pod["containers"]]
    caption: list[Child] = [element("code", pod["name"]), " ", _muted(phase)]
    return _plain_table(caption, ("Container", "State", "Restarts"), rows, f"Containers of Pod {pod['name']}")


def _container(container: Record) -> ET.Element:
    state = ", ".join(filter(None, (container["state"], container["reason"])))
    name: list[Child] = [svg.mark("ok" if container["ready"] else "failed"), f" {container['name']}", element("br")]
    return element(
        "tr",
        element("td", name, element("code", container["image"], class_="muted")),
        element("td", state, class_="short"),
        element("td", str(container["restarts"]), class_="number"),
    )


def _facts(view: Record) -> Iterator[ET.Element]:
    yield element("h2", "Versions and addresses")
    unfolded = None if len(view["clusters"]) > MANY else ""
    cards = []
    for cluster in view["clusters"]:
        if cluster["facts"]:
            summary = element("summary", element("h3", cluster["cluster"]), _muted(cluster["role"]))
            cards.append(element("details", summary, _terms(cluster["facts"]), class_="card", open=unfolded))
    yield element("div", cards, class_="grid")
