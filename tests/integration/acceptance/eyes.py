"""Observes the site independently: which instances respond through the gateway, and whether the clusters are stable."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from acceptance.site import Site

GATEWAY_PODS = "/api/v1/namespaces/gloo-system/pods?labelSelector=gateway.networking.k8s.io/gateway-name%3Dhttp"


def gateway_url(site: Site) -> str:
    """http://<address of the gateway's LoadBalancer>:8080"""
    service = site.get(site.gateway_cluster, "/api/v1/namespaces/gloo-system/services/http")
    assert service is not None, "the gateway has no Service"
    ingress = service["status"]["loadBalancer"]["ingress"][0]
    return f"http://{ingress.get('ip') or ingress['hostname']}:8080"


def reviews_seen(site: Site, requests: int) -> dict[str, str]:
    """Pod name -> cluster name, of everybody who answered /reviews/0 through the gateway."""
    seen = {}
    url = f"{gateway_url(site)}/reviews/0"
    for _ in range(requests):
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = json.load(answer)
        seen[body["podname"]] = body["clustername"]
    return seen


def healthy(site: Site) -> bool:
    """One gateway Pod, all its containers ready, and all of reviews v1 v2 v3 answering through it."""
    pods = (site.get(site.gateway_cluster, GATEWAY_PODS) or {}).get("items") or []
    if len(pods) != 1 or len(pods[0]["spec"]["containers"]) != 3:
        return False
    if not all(status["ready"] for status in pods[0]["status"].get("containerStatuses") or [{"ready": False}]):
        return False
    try:
        seen = reviews_seen(site, requests=40)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError, KeyError):
        return False
    return {pod.rsplit("-", 2)[0] for pod in seen} == {"reviews-v1", "reviews-v2", "reviews-v3"}
