"""Random valid options of the module gateway_parameters, and parts of a spec that another manager may own."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.parameters_options import (
    OPTIONS,
    SERVICE_TYPES,
    TRAFFIC_POLICIES,
    Option,
    desired_spec,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.parameters_rules import (
    ENVOY_LEVELS,
    combinations,
)
from ansible_collections.multicluster.gloo.plugins.module_utils.gateway.proxy_settings import deep_merge

Json = dict[str, Any]

WORDS = st.sampled_from(["alpha", "beta", "gamma-1"])
NUMBERS = st.integers(0, 3)
LABELS = st.dictionaries(st.sampled_from(["team", "example.com/tier", "zone"]), WORDS, min_size=1, max_size=2)
LEVELS = st.sampled_from(ENVOY_LEVELS)
QUANTITIES = st.sampled_from(["100m", "1", 1, "1000m", "0.1"])
RESOURCES = st.fixed_dictionaries(
    {},
    optional={"limits": st.dictionaries(st.just("memory"), st.sampled_from(["1Gi", "1024Mi"]), min_size=1)}
    | {"requests": st.dictionaries(st.just("cpu"), QUANTITIES, min_size=1)},
).filter(bool)
SECURITY = st.fixed_dictionaries(
    {"runAsUser": st.integers(1, 3)}, optional={"capabilities": st.just({"drop": ["ALL"]})}
)
PROBE = st.fixed_dictionaries({"periodSeconds": st.integers(1, 3)})

#: last part of an option's name -> values
BY_LEAF: dict[str, st.SearchStrategy[Any]] = {
    "discovery_address": st.sampled_from(["istiod.istio-system.svc:15012", "istiod-gloo.istio-system.svc:15012"]),
    "meta_cluster_id": WORDS,
    "meta_mesh_id": WORDS,
    "registry": st.sampled_from(["registry.example", "registry.example:5000/team"]),
    "repository": WORDS,
    "tag": st.sampled_from(["v1", "1.2"]),
    "digest": st.just("sha256:" + "ab" * 32),
    "pull_policy": st.sampled_from(["Always", "Never"]),
    "log_level": st.sampled_from(["debug", "info", "error"]),
    "resources": RESOURCES,
    "security_context": SECURITY,
    "component_log_levels": st.dictionaries(st.sampled_from(["upstream", "http"]), LEVELS, min_size=1),
    "env": st.lists(st.fixed_dictionaries({"name": WORDS, "value": WORDS}), max_size=2, unique_by=lambda e: e["name"]),
    "extra_volume_mounts": st.lists(st.fixed_dictionaries({"name": WORDS, "mountPath": st.just("/a")}), max_size=1),
    "type": st.sampled_from(SERVICE_TYPES[:3]),
    "cluster_ip": st.sampled_from(["192.0.2.1", "2001:db8::1"]),
    "external_traffic_policy": st.sampled_from(TRAFFIC_POLICIES),
    "ports": st.lists(
        st.fixed_dictionaries({"port": st.integers(1, 3)}, optional={"node_port": st.integers(30000, 30002)}),
        max_size=3,
        unique_by=lambda port: port["port"],
    ),
    "extra_labels": LABELS,
    "extra_annotations": LABELS,
    "load_balancer_class": st.just("example.com/internal"),
    "load_balancer_source_ranges": st.lists(st.sampled_from(["192.0.2.0/24", "2001:db8::/32"]), max_size=2),
    "node_selector": LABELS,
    "tolerations": st.lists(st.fixed_dictionaries({"key": WORDS, "operator": st.just("Exists")}), max_size=2),
    "affinity": st.just({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}),
    "topology_spread_constraints": st.lists(
        st.just({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}), max_size=1
    ),
    "image_pull_secrets": st.lists(st.fixed_dictionaries({"name": WORDS}), max_size=2, unique_by=lambda s: s["name"]),
    "enabled": st.booleans(),
    "sleep_time_seconds": NUMBERS,
    "termination_grace_period_seconds": NUMBERS,
    "startup_probe": PROBE,
    "readiness_probe": PROBE,
    "liveness_probe": PROBE,
    "priority_class_name": WORDS,
    "extra_volumes": st.lists(st.fixed_dictionaries({"name": WORDS, "emptyDir": st.just({})}), max_size=1),
    "enable_stats_route": st.booleans(),
    "route_prefix_rewrite": st.sampled_from(["/stats", "/metrics"]),
    "stats_route_prefix_rewrite": st.just("/stats"),
    "replicas": NUMBERS,
    "strategy": st.just({"type": "Recreate"}),
}

#: fields without an option, for `spec`
UNTYPED = st.fixed_dictionaries(
    {},
    optional={
        "omitDefaultSecurityContext": st.booleans(),
        "floatingUserId": st.booleans(),
        "podDisruptionBudget": st.fixed_dictionaries({"spec": st.fixed_dictionaries({"minAvailable": NUMBERS})}),
        "istio": st.fixed_dictionaries(
            {"customSidecars": st.lists(st.fixed_dictionaries({"name": WORDS}), max_size=2)}
        ),
        "service": st.fixed_dictionaries({"extraLabels": st.dictionaries(st.just("spec"), WORDS)}),
        "stats": st.just({}),
    },
)


@st.composite
def settings(draw: st.DrawFn) -> tuple[Json, Json]:
    """(arguments of the module, the spec that somebody else applies before): some of the same fields, or none."""
    any_option = st.sampled_from(OPTIONS)
    chosen = draw(st.lists(any_option, min_size=1, max_size=12, unique_by=lambda option: option.name))
    shared = st.one_of(st.sampled_from(chosen), any_option)
    others = draw(st.lists(shared, max_size=6, unique_by=lambda option: option.name))
    mine, theirs = _arguments(draw, chosen), desired_spec(_arguments(draw, others))[0]
    if combinations(deep_merge(theirs, desired_spec(mine)[0])):
        theirs["kube"].pop("service", None)
    return mine, theirs if others else {}


def _arguments(draw: st.DrawFn, chosen: list[Option]) -> Json:
    """Values for the options, and fields of `spec`."""
    params: Json = {"spec": {"kube": draw(UNTYPED)}}
    for option in chosen:
        *parents, leaf = option.name.split(".")
        level = params
        for parent in parents:
            level = level.setdefault(parent, {})
        level[leaf] = draw(BY_LEAF[leaf])
    if combinations(desired_spec(params)[0]):
        del params["service"]
    return params
