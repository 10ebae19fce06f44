"""Bookinfo's four programs, simulated: those parts of the sample's responses that the guide's checks read.

An `App` is made from a Pod: `app` and `version` from its labels, settings from the env of its containers. Paths, JSON
keys, colours, error texts and the words "Reviews served by:" are those of the sample (images 1.20); the other text
and the markup are not.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from lab.control_plane.objects import Object, containers, labels_of
from lab.traffic.sidecar import Request, Response

APPS = ("productpage", "details", "ratings", "reviews")
PORT = 9080
COLOURS = {"v2": "black", "v3": "red"}
FETCH_ERRORS = {
    "reviews": "Sorry, product reviews are currently unavailable for this book.",
    "details": "Sorry, product details are currently unavailable for this book.",
    "ratings": "Sorry, product ratings are currently unavailable for this book.",
}
BOOK = {
    "author": "William Shakespeare",
    "year": 1595,
    "type": "paperback",
    "pages": 200,
    "publisher": "PublisherA",
    "language": "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
}
REVIEWS = {
    "Reviewer1": "Mistaken lovers, a meddling fairy and a donkey's head: great fun on stage.",
    "Reviewer2": "Clever and light, though the tragedies go deeper.",
}
STARS = {"Reviewer1": 5, "Reviewer2": 4}

Fetch = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class App:
    name: str
    version: str
    pod: str
    env: dict[str, str] = field(default_factory=dict)

    def upstream(self, name: str) -> tuple[str, int]:
        """Host and port of another program; the sample's env variables override the defaults."""
        host = self.env.get(f"{name.upper()}_HOSTNAME") or name
        port = self.env.get(f"{name.upper()}_SERVICE_PORT") or ""
        return host, int(port) if port.isdigit() else PORT


def from_pod(pod: Object) -> App | None:
    """The program in a Pod, None when it is not one of Bookinfo's."""
    labels = labels_of(pod)
    if labels.get("app") not in APPS:
        return None
    env = {
        setting["name"]: str(setting["value"])
        for container in containers(pod)
        if container["name"] != "istio-proxy"
        for setting in container.get("env") or []
        if setting.get("value")
    }
    return App(labels["app"], labels.get("version", "v1"), pod["metadata"]["name"], env)


def ports_of(pod: Object) -> list[int]:
    """Ports the program listens on: those of its container, 9080 when it has none."""
    named = [
        int(port["containerPort"])
        for container in pod["spec"]["containers"]
        if container["name"] != "istio-proxy"
        for port in container.get("ports") or []
    ]
    return named or [PORT]


async def serve(app: App, request: web.BaseRequest, fetch: Fetch) -> web.StreamResponse:
    """One request to a program; `fetch` sends its requests to the others."""
    path = request.rel_url.path
    if request.method not in ("GET", "HEAD", "POST"):
        return web.Response(status=405)
    return await {"productpage": _productpage, "reviews": _reviews, "details": _details, "ratings": _ratings}[app.name](
        app, path, fetch
    )


async def _reviews(app: App, path: str, fetch: Fetch) -> web.Response:
    if path == "/health":
        return _json({"status": "Reviews is healthy"})
    found = re.fullmatch(r"/reviews/(\d+)", path)
    if not found:
        return web.Response(status=404)
    ratings: dict[str, Any] = {}
    if app.version in COLOURS:
        response = await _fetched(fetch, *app.upstream("ratings"), f"/ratings/{found[1]}")
        stars = (response or {}).get("ratings")
        for reviewer in REVIEWS:
            if isinstance(stars, dict) and reviewer in stars:
                ratings[reviewer] = {"stars": stars[reviewer], "color": COLOURS[app.version]}
            else:
                ratings[reviewer] = {"error": "Ratings service is currently unavailable"}
    return _json(
        {
            "id": found[1],
            "podname": app.pod,
            "clustername": app.env.get("CLUSTER_NAME") or "null",
            "reviews": [
                {"reviewer": name, "text": text, **({"rating": ratings[name]} if name in ratings else {})}
                for name, text in REVIEWS.items()
            ],
        }
    )


async def _details(app: App, path: str, fetch: Fetch) -> web.Response:
    if path == "/health":
        return _json({"status": "Details is healthy"})
    found = re.fullmatch(r"/details/(\d+)", path)
    return _json({"id": int(found[1]), **BOOK}) if found else web.Response(status=404)


async def _ratings(app: App, path: str, fetch: Fetch) -> web.Response:
    if path == "/health":
        return _json({"status": "Ratings is healthy"})
    found = re.fullmatch(r"/ratings/(\d+)", path)
    return _json({"id": int(found[1]), "ratings": STARS}) if found else web.Response(status=404)


async def _productpage(app: App, path: str, fetch: Fetch) -> web.Response:
    if path == "/health":
        return web.Response(text="Product page is healthy")
    if path in ("/login", "/logout"):
        return web.Response(status=302, headers={"Location": "/productpage"})
    if path in ("/", "/index.html"):
        return _page("<h1>Bookinfo</h1><p><a href='/productpage'>The product page</a></p>")
    if path.startswith("/static/"):
        return web.Response(text="body { font-family: sans-serif }\n", content_type="text/css")
    if path == "/metrics":
        return web.Response(text="# Bookinfo, simulated\n")
    if path == "/api/v1/products":
        return _json([{"id": 0, "title": "The Comedy of Errors", "descriptionHtml": ""}])
    found = re.fullmatch(r"/api/v1/products/(\d+)(?:/(reviews|ratings))?", path)
    if found:
        name = found[2] or "details"
        content = await _fetched(fetch, *app.upstream(name), f"/{name}/{found[1]}")
        return _json(content, 200) if content is not None else _json({"error": FETCH_ERRORS[name]}, 500)
    if path != "/productpage":
        return web.Response(status=404)
    details = await _fetched(fetch, *app.upstream("details"), "/details/0")
    reviews = await _fetched(fetch, *app.upstream("reviews"), "/reviews/0")
    return _page(product_page(details, reviews))


def product_page(details: dict[str, Any] | None, reviews: dict[str, Any] | None) -> str:
    """The page's body; for a backend that failed (None) it has an error text."""
    parts = ["<h1>The Comedy of Errors</h1>"]
    if details is None:
        parts.append(_failed("details"))
    else:
        rows = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(str(v))}</dd>" for k, v in details.items())
        parts.append(f"<h4>Book Details</h4><dl>{rows}</dl>")
    if reviews is None:
        parts.append(_failed("reviews"))
    else:
        served_by = html.escape(str(reviews.get("podname")))
        cluster = str(reviews.get("clustername") or "null")
        where = f" on cluster {html.escape(cluster)}" if cluster != "null" else ""
        parts.append("<h4>Book Reviews</h4>")
        for review in reviews.get("reviews") or []:
            parts.append(
                f"<blockquote><p>{html.escape(review['text'])}</p><small>{html.escape(review['reviewer'])}</small>"
                f"{_stars(review.get('rating'))}</blockquote>"
                f"<p>Reviews served by: <u>{served_by}</u>{where}</p>"
            )
    return "\n".join(parts)


def _stars(rating: dict[str, Any] | None) -> str:
    if not rating:
        return ""
    if "stars" not in rating:
        return f"<p><i>{html.escape(rating['error'])}</i></p>"
    stars = int(rating["stars"])
    return f'<p class="text-{rating["color"]}-500">{"&#9733;" * stars}{"&#9734;" * (5 - stars)}</p>'


def _failed(name: str) -> str:
    return f'<h4 class="text-red-500">Error fetching product {name}!</h4><p>{FETCH_ERRORS[name]}</p>'


async def _fetched(fetch: Fetch, host: str, port: int, path: str) -> dict[str, Any] | None:
    """JSON response of another program, None when the status is not 200."""
    response = await fetch(Request(host, port, path, headers={"Accept": "application/json"}))
    if response.status != 200:
        return None
    try:
        content = json.loads(response.body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _page(body: str) -> web.Response:
    head = "<head><meta charset='utf-8'><title>Simple Bookstore App</title></head>"
    return web.Response(text=f"<!DOCTYPE html>\n<html>{head}<body>\n{body}\n</body></html>\n", content_type="text/html")


def _json(content: Any, status: int = 200) -> web.Response:
    return web.json_response(content, status=status)
