"""The settings of a lab: which variant of the vendor's products, of the cloud and of a site it plays.

One row of SETTINGS for each. The values are kept in the lab's folder (`settings.json`), and the simulated parts read
them in each round, so that `lab up --set KEY=VALUE` changes a running lab.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from lab.errors import LabError


class Setting(NamedTuple):
    """values: all that are allowed, the default first; plays: what each one means."""

    values: tuple[str, ...]
    plays: str

    @property
    def default(self) -> str:
        return self.values[0]


SETTINGS: dict[str, Setting] = {
    "roots": Setting(
        ("late", "early"),
        "when a RootTrustPolicy issues `cacerts`: `late` = once an istiod of the cluster runs (a discovered mesh),"
        " `early` = once the cluster is registered and has the namespace",
    ),
    "foreign-cacerts": Setting(
        ("replaced", "kept"),
        "what a RootTrustPolicy does with a Secret `cacerts` that Gloo Mesh did not issue",
    ),
    "gloo": Setting(("2.14", "2.11"), "version of gloo-platform and gloo-platform-crds in the inventory"),
    "operator": Setting(
        ("0.5", "0.4"),
        "version of gloo-operator in the inventory; the last phase of a ServiceMeshController is SUCCEEDED in 0.5 and"
        " INSTALLED in 0.4",
    ),
    "operator-gateway-api": Setting(
        ("brought", "absent"),
        "whether operator 0.5 writes its own Gateway API v1.5.1, with the policy that refuses older versions",
    ),
    "istiod-env": Setting(
        ("bare", "preset"),
        "whether the operator sets PILOT_ENABLE_K8S_SELECT_WORKLOAD_ENTRIES=false in istiod by itself; if not, only"
        " ConfigMap gloo-extensions-config does",
    ),
    "product": Setting(
        ("auto", "gloo-gateway", "enterprise-kgateway", "kgateway"),
        "gateway_product in the inventory, the product line of the gateway; `auto` = the collection finds it",
    ),
    "kgateway": Setting(
        ("2.3", "2.1"),
        "version of the charts kgateway and enterprise-kgateway in the inventory, and with it the line of kgateway that"
        " their controllers play; Gloo Gateway 2.0 plays 2.1",
    ),
    "load-balancers": Setting(
        ("ip", "hostname", "none"),
        "what LoadBalancer Services get: an address; a host name, which only agents and sidecars of the lab resolve; or"
        " nothing (no provider)",
    ),
}


def parse(text: str) -> tuple[str, str]:
    """Key and value of "KEY=VALUE"; raises LabError with what is allowed."""
    key, separator, value = text.partition("=")
    if not separator:
        raise LabError(f"--set {text}: must be KEY=VALUE")
    if key not in SETTINGS:
        raise LabError(f"--set {text}: no setting {key!r}. Settings: {', '.join(SETTINGS)}")
    if value not in SETTINGS[key].values:
        raise LabError(f"--set {text}: {key} must be one of: {', '.join(SETTINGS[key].values)}")
    return key, value


def values(home: Path) -> dict[str, str]:
    """All settings of the lab in this folder; those that were never set have their defaults."""
    chosen = _chosen(home)
    # A value that only another version of the lab knows counts as not set.
    return {
        key: chosen[key] if chosen.get(key) in setting.values else setting.default for key, setting in SETTINGS.items()
    }


def value(home: Path, key: str) -> str:
    """One setting; raises KeyError for one that is not in SETTINGS."""
    return values(home)[key]


def change(home: Path, changes: Iterable[tuple[str, str]]) -> None:
    """Set some, keep the others."""
    fresh = home / "settings.new"
    fresh.write_text(json.dumps({**_chosen(home), **dict(changes)}, indent=1))
    fresh.replace(home / "settings.json")


def rows() -> list[tuple[str, str, str]]:
    """(key, values with the default first, what it plays), for help and documentation."""
    return [(key, " | ".join(setting.values), setting.plays) for key, setting in SETTINGS.items()]


def _chosen(home: Path) -> dict[str, str]:
    try:
        return dict(json.loads((home / "settings.json").read_text()))
    except FileNotFoundError:
        return {}
