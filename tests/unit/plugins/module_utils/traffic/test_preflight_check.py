"""What is refused of routing's variables before anything is written: one thing wrong at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import Invalid
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic import preflight_check
from ansible_collections.multicluster.gloo.plugins.module_utils.traffic.preflight_check import Given, Steps

Data = dict[str, Any]
Change = Callable[[Any], Any]

GUIDE = Path(__file__).resolve().parents[5] / "playbooks" / "vars" / "guide.yml"
NAMES = ("routing_virtual_destinations", "routing_route_tables", "routing_http_routes", "routing_proofs")
STEPS = Steps(("step1",), ("step4", "step5"))


def guide() -> Data:
    """The playbooks' own data, as preflight hands it over."""
    text, templates = re.subn(r'"\{\{ gateway_namespace .*?\}\}"', "gloo-system", GUIDE.read_text(encoding="utf-8"))
    assert templates == 1
    content = yaml.safe_load(text)
    # Through JSON, because entries share values by YAML anchors.
    return {name: json.loads(json.dumps(content[name])) for name in NAMES}


def found(data: Data, **options: Any) -> list[str]:
    return preflight_check.problems(["routing"], Given(data), **{"required": True, "steps": STEPS, **options})


def entry(variable: str, index: int) -> Callable[[Data], Any]:
    return lambda data: data[variable][index]


DESTINATION = entry("routing_virtual_destinations", 0)
TABLE = entry("routing_route_tables", 0)
PAGE, REVIEWS = entry("routing_http_routes", 0), entry("routing_http_routes", 1)
INSIDE, OUTSIDE = entry("routing_proofs", 0), entry("routing_proofs", 2)


def parents(data: Data) -> Any:
    return PAGE(data)["spec"]["parentRefs"]


def service(data: Data) -> Any:
    return PAGE(data)["spec"]["rules"][0]["backendRefs"][0]


def hostname(data: Data) -> Any:
    return REVIEWS(data)["spec"]["rules"][0]["backendRefs"][0]


def test_the_guide_is_sound() -> None:
    assert found(guide()) == []


REVIEWS_BACKEND = "routing_http_routes[1].spec.rules[0].backendRefs[0]"
PAGE_SPEC = "routing_http_routes[0].spec"
PAGE_NAME, VD_NAME = " (bookinfo/productpage)", " (bookinfo/reviews-vd)"
VD_SPEC = "routing_virtual_destinations[0].spec"


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lambda d: PAGE(d).pop("name"), "routing_http_routes[0].name is missing: an entry needs it. Use lower-case"),
        (
            lambda d: PAGE(d).pop("namespace"),
            "routing_http_routes[0].namespace is missing: an entry needs it. Use lower-case",
        ),
        (lambda d: PAGE(d).update(namespace="Book_info"), "routing_http_routes[0].namespace is 'Book_info'"),
        (
            lambda d: PAGE(d).pop("spec"),
            "routing_http_routes[0].spec (bookinfo/productpage) is missing: an entry needs it. Set the spec",
        ),
        (
            lambda d: PAGE(d)["spec"].pop("parentRefs"),
            f"{PAGE_SPEC}.parentRefs{PAGE_NAME} is missing: nothing leads to the route. Set the Gateway",
        ),
        (lambda d: PAGE(d)["spec"].update(parentRefs=[]), f"{PAGE_SPEC}.parentRefs{PAGE_NAME} is empty"),
        (
            lambda d: parents(d)[0].pop("name"),
            f"{PAGE_SPEC}.parentRefs[0].name{PAGE_NAME} is missing: a parent needs it. Use",
        ),
        (
            lambda d: parents(d).append("http"),
            f"{PAGE_SPEC}.parentRefs[1]{PAGE_NAME} is text: not a dictionary. Set the name of a Gateway",
        ),
        (lambda d: parents(d)[0].update(namespace="a.b"), f"{PAGE_SPEC}.parentRefs[0].namespace{PAGE_NAME} is 'a.b'"),
        (
            lambda d: parents(d)[0].update(port=0),
            f"{PAGE_SPEC}.parentRefs[0].port{PAGE_NAME} is 0: less than 1. Set a number from 1 to 65535",
        ),
        (
            lambda d: PAGE(d)["spec"].update(hostnames=["a_b"]),
            f"{PAGE_SPEC}.hostnames[0]{PAGE_NAME} is 'a_b': not a DNS name. Set",
        ),
        (
            lambda d: PAGE(d)["spec"].update(rules=[]),
            f"{PAGE_SPEC}.rules{PAGE_NAME} is an empty list: at least one entry is required. Set at",
        ),
        (
            lambda d: PAGE(d)["spec"]["rules"][0].update(backendRefs=[]),
            f"{PAGE_SPEC}.rules[0].backendRefs{PAGE_NAME} is empty",
        ),
        (
            lambda d: service(d).update(port=99999),
            f"{PAGE_SPEC}.rules[0].backendRefs[0].port{PAGE_NAME} is 99999: more than 65535. Set a number from 1 to "
            "65535",
        ),
        (
            lambda d: service(d).pop("port"),
            f"{PAGE_SPEC}.rules[0].backendRefs[0].port{PAGE_NAME} is missing: a Service needs it",
        ),
        (
            lambda d: service(d).update(port="9080"),
            f"backendRefs[0].port{PAGE_NAME} is '9080': text, not a number. Remove the quotes",
        ),
        (lambda d: service(d).update(port=True), f"backendRefs[0].port{PAGE_NAME} is true: not a port"),
        (lambda d: service(d).update(name="a b"), f"{PAGE_SPEC}.rules[0].backendRefs[0].name{PAGE_NAME} is 'a b'"),
        (lambda d: service(d).update(namespace=""), f"backendRefs[0].namespace{PAGE_NAME} is empty: no value"),
        (
            lambda d: hostname(d).update(name="reviews_mesh"),
            f"{REVIEWS_BACKEND}.name (gloo-system/reviews) is 'reviews_mesh': not a valid name. Set a DNS name",
        ),
        (
            lambda d: hostname(d).update(namespace="bookinfo"),
            f"{REVIEWS_BACKEND}.namespace (gloo-system/reviews) is 'bookinfo': a Hostname has no namespace",
        ),
        (lambda d: hostname(d).pop("group"), f"{REVIEWS_BACKEND}.group (gloo-system/reviews) is empty"),
        (
            lambda d: hostname(d).update(port=70000),
            f"{REVIEWS_BACKEND}.port (gloo-system/reviews) is 70000: more than 65535",
        ),
        (
            lambda d: hostname(d).update(port=9081),
            f"{REVIEWS_BACKEND}.port (gloo-system/reviews) is 9081: VirtualDestination bookinfo/reviews-vd offers "
            "reviews.mesh.internal.com on port 9080. Set that",
        ),
        (
            lambda d: d["routing_http_routes"].append("x"),
            "routing_http_routes[2] is text: not a dictionary. Set name, namespace",
        ),
        (
            lambda d: d.update(routing_route_tables={"a": 1}),
            "routing_route_tables is a dictionary: not a list. Set a list",
        ),
        (lambda d: DESTINATION(d)["spec"].update(hosts=[]), f"{VD_SPEC}.hosts{VD_NAME} is an empty list"),
        (lambda d: DESTINATION(d)["spec"].pop("ports"), f"{VD_SPEC}.ports{VD_NAME} is missing"),
        (lambda d: DESTINATION(d)["spec"]["hosts"].append("a_b..c"), f"{VD_SPEC}.hosts[1]{VD_NAME} is 'a_b..c'"),
        (lambda d: DESTINATION(d)["spec"]["hosts"].append("*.c"), f"{VD_SPEC}.hosts[1]{VD_NAME} is '*.c'"),
        (
            lambda d: DESTINATION(d)["spec"]["ports"].append({"number": 99999}),
            f"{VD_SPEC}.ports[1].number{VD_NAME} is 99999",
        ),
        (
            lambda d: DESTINATION(d)["spec"]["ports"].append(80),
            f"{VD_SPEC}.ports[1]{VD_NAME} is a number: not a dictionary",
        ),
        (lambda d: TABLE(d).update(name="UPPER"), "routing_route_tables[0].name is 'UPPER'"),
        (
            lambda d: OUTSIDE(d).pop("answered_by"),
            "routing_proofs[2].answered_by is missing: a proof needs it. Set namespace and label",
        ),
        (
            lambda d: OUTSIDE(d).update(answered_by={}),
            "routing_proofs[2].answered_by is an empty dictionary: no value. Set",
        ),
        (lambda d: OUTSIDE(d)["answered_by"].pop("namespace"), "routing_proofs[2].answered_by.namespace is missing"),
        (
            lambda d: OUTSIDE(d)["answered_by"].update(label_selector=""),
            "routing_proofs[2].answered_by.label_selector is empty",
        ),
        (lambda d: OUTSIDE(d)["answered_by"].update(label_selector="app!=a"), "answered_by.label_selector is 'app!=a'"),
        (lambda d: OUTSIDE(d).update(path="reviews/0"), "routing_proofs[2].path is 'reviews/0'"),
        (lambda d: OUTSIDE(d).update(host="a b"), "routing_proofs[2].host is 'a b'"),
        (
            lambda d: OUTSIDE(d).update(gateway="http"),
            "routing_proofs[2].gateway is text: not a dictionary. Set name, namespace",
        ),
        (
            lambda d: OUTSIDE(d).update(gateway={"section": "a"}),
            "routing_proofs[2].gateway.section is text: the gateway of a proof has no such field. Use name",
        ),
        (lambda d: OUTSIDE(d).pop("name"), "routing_proofs[2].name is missing"),
        (
            lambda d: INSIDE(d).update(from_pod={}),
            "routing_proofs[0].from_pod is an empty dictionary: no value. Set namespace",
        ),
        (lambda d: INSIDE(d).update(from_pod=None), "routing_proofs[0].from_pod is null: no value. Set namespace"),
        (lambda d: d["routing_proofs"].pop(0), "routing_proofs is without an entry with from_pod"),
        (lambda d: d["routing_proofs"].pop(2), "without an entry with step: step5 that is sent through the gateway"),
        (lambda d: d.update(routing_virtual_destinations=[]), "routing_virtual_destinations is empty"),
        (lambda d: d.update(routing_http_routes=[]), "routing_http_routes is empty"),
        (lambda d: d.update(routing_proofs=[]), "routing_proofs is empty"),
        (
            lambda d: INSIDE(d).update(step=5),
            "routing_proofs[0].step is 5: YAML reads it as a number. Put it in quotes",
        ),
        (
            lambda d: INSIDE(d).update(step="step2"),
            "routing_proofs[0].step is 'step2': no play handles it. Set step1",
        ),
        (lambda d: d["routing_proofs"].append({**OUTSIDE(d), "step": "step1"}), "routing_proofs[3].step is 'step1'"),
        (
            lambda d: d["routing_proofs"].append({**OUTSIDE(d), "step": "six"}),
            "routing_proofs[3].step is 'six': no play handles it. Set step4 or step5",
        ),
        (lambda d: INSIDE(d)["from_pod"].update(port=0), "routing_proofs[0].from_pod.port is 0"),
    ],
)
def test_one_thing_wrong_is_one_problem(break_it: Change, told: str) -> None:
    data = guide()
    break_it(data)
    [problem] = found(data)
    assert told in problem


@pytest.mark.parametrize(
    "change",
    [
        lambda d: PAGE(d)["spec"].update(hostnames=["*.example.com", "a.example.com"]),
        lambda d: PAGE(d)["spec"]["rules"][0].update(backendRefs=[], filters=[{"type": "RequestRedirect"}]),
        lambda d: PAGE(d)["spec"].pop("rules"),
        # Nobody here declares the host: another playbook may.
        lambda d: hostname(d).update(name="other.mesh.internal.com", port=1234),
        lambda d: [each.pop("step") for name in NAMES[2:] for each in d[name]],
        lambda d: OUTSIDE(d).pop("step"),
        lambda d: REVIEWS(d).pop("step"),
        lambda d: d["routing_proofs"].pop(1) and d["routing_proofs"][1].pop("step"),
        lambda d: INSIDE(d).update(step="step5"),
        lambda d: DESTINATION(d)["spec"]["ports"].append({"number": 9081}) or hostname(d).update(port=9081),
        lambda d: service(d).update(kind="Backend", group="gateway.kgateway.dev") or service(d).pop("port"),
        lambda d: OUTSIDE(d)["answered_by"].update(label_selector="app==reviews, version=v1"),
        lambda d: OUTSIDE(d).update(host="a.example.com:8080"),
        lambda d: OUTSIDE(d).update(host="bücher.example"),
        lambda d: OUTSIDE(d).update(host="[2001:db8::1]:8443"),
        lambda d: OUTSIDE(d).update(gateway={"name": "internal", "listener": "https", "port": 8443}),
        lambda d: INSIDE(d)["from_pod"].update(port="9080"),
    ],
)
def test_what_may_be(change: Change) -> None:
    data = guide()
    change(data)
    assert found(data) == []


def test_empty_lists_are_refused_only_where_entries_are_required() -> None:
    data: Data = {name: [] for name in NAMES}
    assert found(data, required=False) == []
    assert found({}, required=False) == []
    assert [text.split(" is empty")[0] for text in found(data)] == [NAMES[0], NAMES[2], NAMES[3]]


TO_PAGE = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "productpage", "namespace": "bookinfo"}


@pytest.mark.parametrize(
    ("labels", "ref", "sound"),
    [
        ({}, TO_PAGE, True),
        ({}, {**TO_PAGE, "name": "*"}, True),
        ({}, {**TO_PAGE, "name": "other"}, False),
        ({}, {**TO_PAGE, "namespace": "elsewhere"}, False),
        ({"delegation.kgateway.dev/label": "team"}, None, True),  # by a route that is not in the data
        ({"team": "a"}, None, False),
        (None, None, False),
    ],
)
def test_a_route_that_another_delegates_to_needs_no_parents(labels: Any, ref: Any, sound: bool) -> None:
    data = guide()
    PAGE(data)["spec"].pop("parentRefs")
    PAGE(data)["labels"] = labels
    if ref:
        REVIEWS(data)["spec"]["rules"][0]["backendRefs"] = [ref]
    assert (found(data) == []) is sound


def test_several_problems_are_all_reported() -> None:
    data = guide()
    PAGE(data)["spec"].pop("parentRefs")
    hostname(data).update(port=9081, namespace="bookinfo")
    assert len(found(data)) == 3


@pytest.mark.parametrize(
    ("steps", "tags", "selects"),
    [
        (True, ["all"], True),
        (True, ["step4"], True),
        (False, ["step4"], False),
        (False, ["step5"], True),
        (False, ["step4", "step5"], True),
        (False, ["routing"], True),
        (False, ["mesh"], True),
    ],
)
def test_tags_that_select_no_entry_are_refused(steps: bool, tags: list[str], selects: bool) -> None:
    data = guide()
    if not steps:
        for each in (*data["routing_http_routes"], *data["routing_proofs"]):
            del each["step"]
    problems = found(data, tags=tags)
    assert (problems == []) is selects
    assert selects or "--tags step4 selects no entry" in problems[0]


def test_every_step_of_a_role_alone_is_accepted() -> None:
    data = guide()
    OUTSIDE(data)["step"] = "canary"
    assert found(data, required=False, steps=Steps()) == []


PARAMS: Data = {
    "cluster": "cluster1",
    "groups": None,
    "variables_of": ["playbooks"],
    "pending": [],
    "collect": False,
    "found": {},
    "names": {},
    "required": False,
    "destination_steps": [],
    "route_steps": [],
    "tags": [],
}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("step4_http_routes", "Move its entries to routing_http_routes, with step: step4"),
        ("step5_proofs", "Move its entries to routing_proofs, with step: step5"),
        ("routing_mesh_proofs", "Move its entries to routing_proofs"),
        ("routing_gateway_proofs", "Move its entries to routing_proofs"),
        ("verify_timeout", "doctor_timeout"),
    ],
)
def test_former_names_are_refused_with_the_new_name(name: str, says: str) -> None:
    params = {**PARAMS, "given": Given(names=[name, "routing_on_conflict"])}
    with pytest.raises(Invalid) as refusal:
        preflight_check.run(params, False, print)
    assert refusal.value.msg.startswith(f"cluster1: {name} is no longer used. ") and says in refusal.value.msg
    assert preflight_check.run({**params, "given": Given()}, False, print)["changed"] is False
    # Variables of others in the playbooks of others.
    alone = {**params, "variables_of": ["routing"]}
    if not name.startswith("routing_"):
        assert preflight_check.run(alone, False, print)["problems"] == []


def test_problems_are_collected_and_reported_once_for_all_hosts() -> None:
    given = Given({"mesh_namespace": "A", "mesh_wait_timeout": "soon"})
    collected = preflight_check.run({**PARAMS, "variables_of": ["mesh"], "collect": True, "given": given}, False, print)
    assert [text.split(" ")[0] for text in collected["problems"]] == ["mesh_namespace", "mesh_wait_timeout"]
    found = {"a": collected["problems"], "b": collected["problems"][:1], "c": []}
    with pytest.raises(Invalid) as refusal:
        preflight_check.run({**PARAMS, "found": found}, False, print)
    first, second = refusal.value.msg.split("; ")
    assert first.startswith("a, b: mesh_namespace is 'A'") and second.startswith("a: mesh_wait_timeout is 'soon'")


def test_hosts_with_the_same_name_of_a_cluster_are_refused() -> None:
    names = {"a": "east", "b": "west", "c": "east", "d": "d", "e": "", "f": None}
    with pytest.raises(Invalid) as refusal:
        preflight_check.run({**PARAMS, "names": names, "found": {"b": ["x"]}}, False, print)
    first, second = refusal.value.msg.split("; ")
    assert first == "b: x"
    assert second == "a, c: mesh_cluster_name is 'east': each cluster needs its own name. Set it per host, or remove it"
    assert preflight_check.run({**PARAMS, "names": {**names, "c": "c"}}, False, print)["problems"] == []


def test_a_variable_that_is_nearly_one_of_the_collection_is_told() -> None:
    names = ["mesh_namspace", "Gateway_name", "routing_htp_routes", "mesh_namespace", "cluster_id", "gateway_team", "a"]
    collected = preflight_check.run({**PARAMS, "collect": True, "given": Given(names=names)}, False, print)
    assert collected["problems"] == []
    assert collected["warnings"] == [
        "Gateway_name is not a variable of this collection. Did you mean gateway_name?",
        "mesh_namspace is not a variable of this collection. Did you mean mesh_namespace?",
        "routing_htp_routes is not a variable of this collection. Did you mean routing_http_routes?",
    ]


def test_many_hosts_are_counted() -> None:
    assert preflight_check.merged({f"c{number}": ["x"] for number in range(9)}) == ["c0, c1, c2 and 6 more: x"]


@pytest.mark.parametrize("count", [1, 2, 3, 60, 5000])
def test_a_message_is_short_however_many_problems_there_are(count: int) -> None:
    problems = [f"c1: mesh_variable_{number}[{number}] is {'x' * 400}: wrong. Set it" for number in range(count)]
    text = preflight_check.message(problems)
    assert "\n" not in text and len(text) <= 450
    assert text.startswith("c1: mesh_variable_0[0] is")
    if count > 1:
        assert f"and {count - 1} more problem" in text and "mesh_variable_1" in text


def test_a_list_that_is_not_known_yet_is_not_checked_with_the_others() -> None:
    data = guide()
    routes = data.pop("routing_http_routes")
    given = Given(data, pending=frozenset(["routing_http_routes"]))
    assert preflight_check.problems(["routing"], given, required=True, steps=STEPS) == []
    assert found({**data, "routing_http_routes": routes}) == []


GROUPS = {"management": ["mgmt"], "workload": ["a", "b", "c"], "gateway": ["b"]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, []),
        ({"management": []}, ["management has no host. Put exactly one host in it"]),
        ({"management": ["m", "n"]}, ["has 2 hosts (m, n)"]),
        ({"workload": [], "gateway": []}, ["group workload is empty", "group gateway is empty"]),
        ({"gateway": ["z"]}, ["z: is in inventory group gateway but not in workload"]),
        ({"management": ["a"]}, ["a: is in inventory groups management and workload"]),
    ],
)
def test_groups_that_do_not_fit_are_refused(change: dict[str, list[str]], says: list[str]) -> None:
    problems = preflight_check.group_problems({**GROUPS, **change})
    assert len(problems) == len(says)
    assert all(text in problem for text, problem in zip(says, problems, strict=True))
