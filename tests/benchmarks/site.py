"""Measures how long the guide takes on the lab, and its memory, as ratios to a budget; no assertions.

make bench                  lab from stopped, site, second run, verify, cleanup
make bench ARGS=--cold      also the lab's programs, built or downloaded into an empty cache
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO), str(REPO / ".cache" / "collections"), str(REPO / "tests" / "integration")]

from acceptance.site import Site  # noqa: E402

# Budgets on two cores: seconds, but MiB for memory.
BUDGET = {"lab up, programs built": 480.0, "lab up": 15.0, "site.yml": 60.0, "memory of the lab, MiB": 3072.0}

# Readers that have nothing to wait for on a site at rest, as an action plugin runs them: a second each.
PROXY = ["kgateway-proxy", "sds", "istio-proxy"]
READERS: dict[str, dict[str, Any]] = {
    "istiod_info": {"for_namespace": "bookinfo"},
    "gateway_parameters": {"namespace": "gloo-system", "name": "custom-gw-params"},
    "gateway_proxy_info": {"namespace": "gloo-system", "gateway": "http", "expect": PROXY},
    "virtual_destination_info": {"namespace": "bookinfo", "name": "reviews-vd", "host": "reviews.mesh.internal.com"},
}
BUDGET |= dict.fromkeys(READERS, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cold", action="store_true", help="with an empty cache of programs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        if arguments.cold:
            os.environ["LAB_CACHE"] = f"{folder}/cache"
        site = Site(Path(folder, "lab"))
        try:
            figures = measure(site, arguments.cold)
        finally:
            site.down()
    for what, number in figures.items():
        budget = BUDGET.get(what)
        ratio = f"   {number / budget:5.2f} of {budget:.0f}" if budget else ""
        print(f"{number:8.2f}  {what}{ratio}")
    print(f"{figures['site.yml'] / figures['site.yml again']:8.1f}  first run : second run")
    return 0


def measure(site: Site, cold: bool) -> dict[str, float]:
    figures = {}
    if cold:
        figures["lab up, programs built"] = seconds(site.up)
        site.end()
    figures["lab up"] = seconds(site.up)
    figures["site.yml"] = site.play("site").ok().seconds
    figures["memory of the lab, MiB"] = memory(site.home)
    figures |= readers(site)
    figures["site.yml again"] = site.play("site").ok().seconds
    figures["verify.yml"] = site.play("verify").ok().seconds
    figures["cleanup.yml"] = site.play("cleanup", "--extra-vars", "cleanup_vendor_crds=true").ok().seconds
    return figures


#: the folder of each reader's engine
FOLDERS = {
    "istiod_info": "istiod",
    "gateway_parameters": "gateway",
    "gateway_proxy_info": "gateway",
    "virtual_destination_info": "mesh",
}
MODULE_UTILS = "ansible_collections.multicluster.gloo.plugins.module_utils"


def readers(site: Site) -> dict[str, float]:
    """Seconds of each reader's engine, its imports paid before as they are in a play."""
    found: dict[str, dict[str, Any]] = {}
    figures = {}
    for name, options in READERS.items():
        where: dict[str, Any] = {"kubeconfig": str(site.kubeconfig), "context": site.gateway_cluster}
        engine = importlib.import_module(f"{MODULE_UTILS}.{FOLDERS[name]}.{name}").run
        if name == "gateway_parameters":  # those that are there, so that nothing changes
            istiod = found["istiod_info"]["istiod"]
            told = {"discovery_address": "address", "meta_cluster_id": "cluster_id", "meta_mesh_id": "mesh_id"}
            where |= {"istio": {option: istiod[key] for option, key in told.items()}, "istiod": istiod}
        start = time.monotonic()
        found[name] = engine({**where, **options}, False, lambda line: None)
        figures[name] = time.monotonic() - start
        assert not found[name]["changed"], f"{name} changed something"
    return figures


def seconds(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def memory(home: Path) -> float:
    """Proportional set size in MiB of all processes that carry this lab's folder in their command or environment."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mark = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if os.fsencode(home) in mark and int(process.name) != os.getpid():
                rollup = (process / "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue  # ended meanwhile, or not ours
    return total / 1024


if __name__ == "__main__":
    sys.exit(main())
