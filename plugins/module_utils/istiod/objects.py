# Copyright: The multicluster.gloo authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Readers of the objects of an istiod (pure): addresses, Deployment, Service, ConfigMap, injection webhook.

Shapes are those of Istio's charts 1.20 to 1.32, with common user modifications.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from ..k8s.fields import Json, Key, dig, from_json, key_of, labels_of, listed, mapping, mappings, selects, texts
from ..k8s.names import split_host_port
from ..k8s.yaml_documents import document

XDS_PORT = 15012
WEBHOOK_PORT = 15017

_SERVICE_HOST = re.compile(r"^(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc(?:\.(?!clusterset\.).+)?$")
#: `$$` is a dollar sign, `$(NAME)` an environment variable
_REFERENCE = re.compile(r"\$\$|\$\(([^)]+)\)")
_DNS_LABEL = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")


# --- any object ------------------------------------------------------------


def revision_label(obj: Json) -> str:
    """The revision in the object's label; charts omit it or leave it empty for the default revision."""
    return labels_of(obj).get("istio.io/rev") or "default"


def suffixed(name: str, revision: str) -> str:
    """The charts' name for an object of a revision."""
    return name if revision == "default" else f"{name}-{revision}"


# --- addresses ------------------------------------------------------------


def compared(address: str) -> tuple[str, int | None]:
    """(host, port) of an address, normalized as DNS and TLS compare names; every spelling of an IP address is equal."""
    host, port = split_host_port(address)
    try:
        return str(ipaddress.ip_address(host)), port
    except ValueError:
        return host.removesuffix(".").lower(), port


def service_of_address(address: str | None, namespace: str = "") -> Key | None:
    """(namespace, name) of the Service that an in-cluster address refers to, else None.

    Short names (`istiod`, `istiod.istio-system`) count only with `namespace`, the one in which they are used: `a.b`
    with another namespace may be an external host.
    """
    host = compared(address)[0] if address else ""
    match = _SERVICE_HOST.match(host)
    if match:
        return match["namespace"], match["name"]
    name, _dot, rest = host.partition(".")
    if namespace and rest in ("", namespace) and _DNS_LABEL.match(name):
        return namespace, name
    return None


# --- Deployment ------------------------------------------------------------


def template_labels(deployment: Json) -> Mapping[str, str]:
    return texts(dig(deployment, "spec", "template", "metadata", "labels"))


def command_of(container: Json) -> list[str]:
    """The command line of the container, as set in the Deployment."""
    return [str(word) for word in [*listed(container.get("command")), *listed(container.get("args"))]]


def discovery_container(deployment: Json) -> Json | None:
    """The container that runs pilot-discovery, or None when this Deployment is not an istiod.

    Two of name, image, command line and the Pods' label are required; one is ambiguous (Gloo Edge also has a container
    `discovery`).
    """
    labelled = template_labels(deployment).get("app") == "istiod"
    for container in mappings(dig(deployment, "spec", "template", "spec", "containers")):
        image = str(container.get("image") or "").split("@", maxsplit=1)[0].rsplit("/", 1)[-1].split(":")[0]
        signs = (
            labelled,
            container.get("name") == "discovery",
            "pilot" in image.split("-"),
            any(word == "discovery" or word.endswith("pilot-discovery") for word in command_of(container)[:2]),
        )
        if sum(signs) > 1:
            return dict(container)
    return None


def flags(container: Json, name: str) -> list[str | None]:
    """Every value of a command line flag, in either spelling; values as in `env`."""
    words, known = command_of(container), _environment(container)
    found = []
    for position, word in enumerate(words):
        if word.startswith(f"--{name}="):
            found.append(word.split("=", 1)[1])
        elif word == f"--{name}" and position + 1 < len(words):
            found.append(words[position + 1])
    return [_expanded(text, known) for text in found]


def flag(container: Json, name: str) -> tuple[bool, str | None]:
    """(whether the flag is set, its value); the last one counts."""
    found = flags(container, name)
    return bool(found), found[-1] if found else None


def env(container: Json, name: str) -> tuple[bool, str | None]:
    """(whether the variable is set, its value). The value is None when it cannot be read (valueFrom)."""
    known = _environment(container)
    return name in known, known.get(name)


def _environment(container: Json) -> dict[str, str | None]:
    """A container's env as the kubelet evaluates it: the last of duplicates; `$(OTHER)` refers to earlier entries."""
    known: dict[str, str | None] = {}
    for entry in mappings(container.get("env")):
        known[str(entry.get("name"))] = (
            None if "valueFrom" in entry else _expanded(str(entry.get("value") or ""), known)
        )
    return known


def _expanded(text: str, known: Mapping[str, str | None]) -> str | None:
    """The text as the kubelet expands it; None when it refers to a value that cannot be read."""
    if any(name and known.get(name) is None for name in _REFERENCE.findall(text)):
        return None
    return _REFERENCE.sub(lambda found: str(known[found[1]]) if found[1] else "$", text)


def proxy_address(container: Json) -> str:
    """istiod's address in the environment of a container istio-proxy; "" where it has none."""
    try:
        config = mapping(from_json(env(container, "PROXY_CONFIG")[1] or ""))
    except ValueError:
        config = {}
    return str(config.get("discoveryAddress") or env(container, "CA_ADDR")[1] or "")


def image_version(image: str) -> str | None:
    """Tag of an image reference; None when it has none (a digest is not readable)."""
    name = image.split("@")[0].rsplit("/", 1)[-1]
    return name.split(":", 1)[1] if ":" in name else None


# --- Service ------------------------------------------------------------


def selector_of(service: Json) -> Mapping[str, str]:
    return texts(dig(service, "spec", "selector"))


def selects_pods_of(service: Json, deployment: Json) -> bool:
    """Whether the Service selects the Deployment's Pods."""
    same_namespace = key_of(service)[0] == key_of(deployment)[0]
    return same_namespace and selects(selector_of(service), template_labels(deployment))


def xds_port(service: Json) -> int | None:
    """The Service's port for istiod's 15012; port names differ between installations and are ignored."""
    declared = mappings(dig(service, "spec", "ports"))
    ports = [p for p in declared if isinstance(p.get("port"), int) and (p.get("protocol") or "TCP") == "TCP"]
    if any(p["port"] == XDS_PORT for p in ports):
        return XDS_PORT
    return next((p["port"] for p in ports if p.get("targetPort") in (XDS_PORT, "tls-xds")), None)


def named_as_istiod(service: Json) -> bool:
    """Whether it is labelled as istiod. An east-west gateway, which may also have port 15012, is not."""
    labels, selector = labels_of(service), selector_of(service)
    return (
        labels.get("app.kubernetes.io/name") == "istiod"
        or labels.get("app") == "istiod"
        or selector.get("app") == "istiod"
        or selector.get("istio") in ("pilot", "istiod")
    )


def made_for_remote(service: Json) -> bool:
    """Whether it is a Service without selector, as charts create it for a remote istiod; before 1.25 without labels."""
    if labels_of(service).get("app.kubernetes.io/name") == "istiod":
        return True
    ports = mappings(dig(service, "spec", "ports"))
    return re.match(r"istiod(-|$)", key_of(service)[1]) is not None and any(
        p.get("targetPort") == WEBHOOK_PORT for p in ports
    )


def external_name(service: Json) -> str | None:
    """The host that an ExternalName Service resolves to, else None."""
    if dig(service, "spec", "type") != "ExternalName":
        return None
    return str(dig(service, "spec", "externalName") or "").rstrip(".")


def revision_of_name(service: Json) -> str:
    name = key_of(service)[1].removesuffix("-remote")
    return name.removeprefix("istiod-") if name.startswith("istiod-") else "default"


# --- ConfigMap ------------------------------------------------------------


def mesh_config(configmap: Json) -> Json | None:
    """Mesh config (key `mesh`, YAML); None where there is none or it cannot be parsed."""
    try:
        mesh = document(str(dig(configmap, "data", "mesh") or ""))
    except ValueError:
        return None
    return mesh if isinstance(mesh, dict) else None


def injector_values(configmap: Json) -> Json | None:
    """The settings of the injector (key `values`, JSON) that are used; others may contain secrets.

    Keys: `cluster`, `mesh_id`, `network`, `tag`; empty where nothing is set.
    """
    try:
        values = from_json(str(dig(configmap, "data", "values") or ""))
    except ValueError:
        return None
    if not isinstance(values, dict):
        return None
    paths = {
        "cluster": ("multiCluster", "clusterName"),
        "mesh_id": ("meshID",),
        "network": ("network",),
        "tag": ("tag",),
    }
    return {name: str(dig(values, "global", *path) or "") for name, path in paths.items()}


def discovery_address(mesh: Json | None) -> str:
    return str(dig(mesh, "defaultConfig", "discoveryAddress") or "")


# --- injection webhook ------------------------------------------------------------


def injection_hooks(webhook: Json) -> list[Json]:
    """The hooks of a MutatingWebhookConfiguration that inject sidecars."""
    hooks = mappings(webhook.get("webhooks"))
    return [hook for hook in hooks if str(hook.get("name") or "").endswith("sidecar-injector.istio.io")]


def called_services(webhook: Json) -> set[Key]:
    """Services the injector calls, by reference or by a URL with a name inside the cluster."""
    found = set()
    for hook in injection_hooks(webhook):
        service, url = mapping(dig(hook, "clientConfig", "service")), dig(hook, "clientConfig", "url")
        if service:
            found.add((str(service.get("namespace")), str(service.get("name"))))
        target = service_of_address(urlsplit(str(url)).hostname) if url else None
        if target:
            found.add(target)
    return found


def called_host(webhook: Json) -> str | None:
    """The external host that the injector calls; localhost of the API server is not reachable from Pods."""
    for hook in injection_hooks(webhook):
        host = urlsplit(str(dig(hook, "clientConfig", "url") or "")).hostname
        if host and service_of_address(host) is None and host not in ("localhost", "127.0.0.1", "::1"):
            return host
    return None


def injected_settings(webhook: Json) -> Mapping[str, str]:
    """Settings in the injector's path: `/inject/cluster/c1/net/n1`, formerly `/inject/:ENV:cluster=c1:ENV:net=n1`.

    Rules of parseInjectEnvs in Istio's pkg/kube/inject/webhook.go.
    """
    for hook in injection_hooks(webhook):
        path = (
            dig(hook, "clientConfig", "service", "path") or urlsplit(str(dig(hook, "clientConfig", "url") or "")).path
        )
        rest = unquote(str(path)).rstrip("/").split("/", 2)[2:]
        if rest and rest[0].startswith(":ENV:"):
            pairs = [part.partition("=")[::2] for part in rest[0].split(":ENV:") if "=" in part]
            return {name: value for name, value in pairs if name}
        if rest:
            words = rest[0].split("/")
            return {n: v.replace("--slash--", "/") for n, v in zip(words[::2], words[1::2], strict=False)}
    return {}


def webhook_namespace(webhook: Json) -> str:
    """Namespace of the control plane behind an injector: its Service's, the Helm release's, the suffix of its name."""
    services = sorted(called_services(webhook))
    if services:
        return services[0][0]
    release = dig(webhook, "metadata", "annotations", "meta.helm.sh/release-namespace")
    if release:
        return str(release)
    labels, name = labels_of(webhook), key_of(webhook)[1]
    tag = labels.get("istio.io/tag")
    revision = revision_label(webhook)
    prefix = f"istio-revision-tag-{tag}" if tag else suffixed("istio-sidecar-injector", revision)
    return name.removeprefix(f"{prefix}-") if name.startswith(f"{prefix}-") else "istio-system"


def injection_selectors(webhook: Json) -> list[tuple[Json, Json]]:
    """(namespaceSelector, objectSelector) of each hook: a Pod that both select gets a sidecar."""
    return [
        (mapping(hook.get("namespaceSelector")), mapping(hook.get("objectSelector")))
        for hook in injection_hooks(webhook)
    ]


def namespace_selectors(webhook: Json) -> list[Json]:
    """namespaceSelectors of the hooks that select by namespace; the others (`…object.…`) select by a Pod label."""
    return [
        mapping(hook.get("namespaceSelector"))
        for hook in injection_hooks(webhook)
        if "object" not in str(hook["name"]).split(".")
    ]
