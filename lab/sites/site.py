"""Existing sites as data: what another team has installed on the clusters before the collection is used.

A site is NAME.yml: `about` (one line), `variables` and `hosts` (inventory variables of its owner), `data` (the owner's
own destinations, routes and proofs), `lab` (settings of the lab), and `steps` in order. A part, parts/NAME.yml, has
`defaults` and `steps`. A step runs on every cluster of `where` (all, management, workloads, gateway, remote, or a
cluster's name; by default where its part is used) and is one of:

    helm: {release, namespace, chart, version, values, by}
                                            # `fails`: as a revision in Helm's records; `interrupted`: stays pending
    apply: [objects]                        # `by`: kubectl, or a tool of TOOLS
    run: a shell command                    # the current context is the cluster; `as`: the variable for its output
    issue: {ca, names}                      # a user-supplied certificate; without names istiod's. `as`: Secret data
    webhooks: a revision                    # `as`: the port on localhost where its istiod serves its webhooks
    use: a part                             # `with`: its variables

`${name}` is a variable: of the part, read by an earlier `run`, or `cluster`. A string that is only a variable keeps the
variable's type. A step with an empty `when` is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError

FOLDER = Path(__file__).parent
ACTIONS = ("helm", "apply", "run", "issue", "webhooks", "use")
OPTIONS = ("where", "with", "by", "as", "when")

_VARIABLE = re.compile(r"\$\{(\w+)\}")

Step = dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """How a tool other than Helm's and kubectl's own marks the objects that it applies."""

    manager: str
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


# {release} and {namespace} are the application's, {id} is "<group>/<kind>:<namespace>/<name>" of the object.
TOOLS = {
    "argocd": Tool(
        "argocd-controller",
        {"app.kubernetes.io/instance": "{release}"},
        {"argocd.argoproj.io/tracking-id": "{release}:{id}"},
    ),
    "flux": Tool(
        "helm-controller",
        {"helm.toolkit.fluxcd.io/name": "{release}", "helm.toolkit.fluxcd.io/namespace": "{namespace}"},
    ),
    "flux-kustomize": Tool(
        "kustomize-controller",
        {"kustomize.toolkit.fluxcd.io/name": "{release}", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"},
    ),
    "istioctl": Tool("istio-operator", {"install.operator.istio.io/owning-resource": "unknown"}),
}
# These keep Helm's records; the others apply what the chart renders.
WITH_RECORDS = ("helm", "meshctl", "flux")


@dataclass(frozen=True)
class Site:
    name: str
    about: str
    steps: list[Step]
    variables: dict[str, Any]
    hosts: dict[str, dict[str, Any]]
    data: dict[str, Any]
    lab: dict[str, str]


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yml"))


def load(name: str) -> Site:
    """Raises LabError for an unknown site."""
    content = _read(FOLDER / f"{name}.yml", f"no site {name}; the sites are: {', '.join(names())}")
    return Site(
        name,
        " ".join(content["about"].split()),
        checked(content["steps"]),
        content.get("variables") or {},
        content.get("hosts") or {},
        content.get("data") or {},
        content.get("lab") or {},
    )


def load_part(name: str) -> tuple[dict[str, Any], list[Step]]:
    """(defaults, steps) of a part."""
    content = _read(FOLDER / "parts" / f"{name}.yml", f"no part {name} in {FOLDER / 'parts'}")
    return content.get("defaults") or {}, checked(content["steps"])


def _read(path: Path, unknown: str) -> dict[str, Any]:
    if not path.is_file():
        raise LabError(unknown)
    return dict(yaml.safe_load(path.read_text()))


def checked(steps: list[Step]) -> list[Step]:
    """The steps; raises LabError for one without an action, with two, or with an unknown key."""
    for step in steps:
        actions = [key for key in step if key in ACTIONS]
        unknown = step.keys() - {*ACTIONS, *OPTIONS}
        if len(actions) != 1 or unknown:
            raise LabError(f"a step has one of {', '.join(ACTIONS)}, and may have {', '.join(OPTIONS)}: {step}")
    return steps


@dataclass(frozen=True)
class Scope:
    """Variables of a part: given by its user (in the user's scope), or its defaults (in its own)."""

    given: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    outer: Scope | None = None

    def filled(self, value: Any, known: Mapping[str, Any]) -> Any:
        """The value with its variables; `known`: those that no part has. Raises LabError for an unknown one."""
        if isinstance(value, dict):
            return {self.filled(key, known): self.filled(inner, known) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner, known) for inner in value]
        if not isinstance(value, str):
            return value
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return self._variable(whole[1], known)
        return _VARIABLE.sub(lambda found: str(self._variable(found[1], known)), value)

    def _variable(self, name: str, known: Mapping[str, Any]) -> Any:
        if name in self.given and self.outer is not None:
            return self.outer.filled(self.given[name], known)
        if name in self.defaults:
            return self.filled(self.defaults[name], known)
        if self.outer is not None and name not in known:
            return self.outer._variable(name, known)
        if name not in known:
            raise LabError(f"unknown variable {name}; known are: {', '.join(sorted({*self.defaults, *known}))}")
        return known[name]


def marked(objects: list[Any], by: str, release: str, namespace: str) -> list[Any]:
    """The objects as the tool applies them: with the namespace, its labels and annotations."""
    tool = TOOLS[by]
    result = []
    for obj in objects:
        metadata = obj["metadata"]
        group = obj["apiVersion"].rpartition("/")[0]
        facts = {
            "release": release,
            "namespace": namespace,
            "id": f"{group}/{obj['kind']}:{metadata.get('namespace', namespace)}/{metadata['name']}",
        }
        added = {
            key: {**(metadata.get(key) or {}), **{name: text.format(**facts) for name, text in texts.items()}}
            for key, texts in (("labels", tool.labels), ("annotations", tool.annotations))
            if texts
        }
        result.append({**obj, "metadata": {**metadata, **added}})
    return result
