"""Which istiod is chosen: by namespace as the injectors would, by revision, tag and namespace, never by order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acceptance.istio_shapes import Istiod, Objects, joined
from ansible_collections.multicluster.gloo.plugins.module_utils.istiod import discovery as istiod

TWO = joined(Istiod("1-25").tag("default").objects(), Istiod("1-27").tag("canary").objects())
MOVED = joined(Istiod().deactivated().objects(), Istiod("1-27").tag("default").objects())
TWINS = joined(Istiod().objects(), Istiod(namespace="mesh-b").objects(mutatingwebhookconfigurations=[]))
NAMESAKES = joined(Istiod("prod").objects(), Istiod("1-27").tag("prod").objects())
ALONE = Istiod("gloo").objects()

ENABLED = {"istio-injection": "enabled"}


def chosen(objects: Objects, labels: dict[str, str] | None = None, **options: str) -> str:
    told = "bookinfo" if labels is not None else None
    record = istiod.choose(istiod.discover(objects), namespace_labels=labels, for_namespace=told, **options)
    return f"{record['namespace']}/{record['name']}"


@pytest.mark.parametrize(
    ("objects", "labels", "name"),
    [
        (TWO, {"istio.io/rev": "1-27"}, "istiod-1-27"),
        (TWO, {"istio.io/rev": "canary"}, "istiod-1-27"),
        (TWO, {"istio.io/rev": "default"}, "istiod-1-25"),
        (TWO, ENABLED, "istiod-1-25"),
        (TWO, {**ENABLED, "istio.io/rev": "canary"}, "istiod-1-25"),
        (MOVED, ENABLED, "istiod-1-27"),
        (MOVED, {"istio.io/rev": "default"}, "istiod-1-27"),
        (TWINS, {"istio.io/rev": "default"}, "istiod"),
        (TWINS, ENABLED, "istiod"),
        (ALONE, {}, "istiod-gloo"),
        (ALONE, {"istio-injection": "disabled"}, "istiod-gloo"),
    ],
)
def test_of_a_namespace(objects: Objects, labels: dict[str, str], name: str) -> None:
    assert chosen(objects, labels) == f"istio-system/{name}"


@pytest.mark.parametrize(
    ("objects", "options", "name"),
    [
        (TWO, {"revision": "1-25"}, "istio-system/istiod-1-25"),
        (TWO, {"revision": "canary"}, "istio-system/istiod-1-27"),
        (TWINS, {"namespace": "mesh-b"}, "mesh-b/istiod"),
        (TWINS, {"namespace": "mesh-b", "revision": "default"}, "mesh-b/istiod"),
        (NAMESAKES, {"revision": "prod"}, "istio-system/istiod-prod"),
        (MOVED, {"revision": "default"}, "istio-system/istiod"),
    ],
)
def test_by_revision_and_namespace(objects: Objects, options: dict[str, str], name: str) -> None:
    assert chosen(objects, None, **options) == name


@pytest.mark.parametrize(
    ("objects", "labels", "options", "words"),
    [
        (
            TWO,
            None,
            {},
            "2 istiods: istio-system/istiod-1-25 (revision 1-25, tags default, ready); istio-system",
        ),
        (TWO, None, {"revision": "nope"}, "no istiod of revision or tag nope; found: istio-system/istiod-1-25"),
        (TWO, None, {"namespace": "elsewhere"}, "no istiod in namespace elsewhere; found: "),
        (TWO, {}, {}, "2 istiods for namespace bookinfo (which has no injection label)"),
        (TWO, {"istio-injection": "disabled", "istio.io/rev": "1-27"}, {}, "2 istiods for namespace bookinfo"),
        (TWO, {"istio.io/rev": "gone"}, {}, "no istiod for namespace bookinfo (istio.io/rev=gone)"),
        (
            TWO,
            {"istio.io/rev": "canary"},
            {"revision": "1-25"},
            "no istiod of revision or tag 1-25 for namespace",
        ),
        (
            ALONE,
            ENABLED,
            {},
            "for namespace bookinfo (istio-injection=enabled, which no injector matches)",
        ),
        (TWINS, None, {"revision": "default"}, "2 istiods of revision or tag default"),
        (NAMESAKES, {"istio.io/rev": "prod"}, {}, "2 istiods for namespace bookinfo (istio.io/rev=prod)"),
    ],
)
def test_never_one_of_several(objects: Objects, labels: Any, options: dict[str, str], words: str) -> None:
    with pytest.raises(istiod.ChoiceError) as failure:
        chosen(objects, labels, **options)
    assert words in str(failure.value)
    assert str(failure.value).endswith("Set revision, namespace or for_namespace to choose one")


def test_nothing_found() -> None:
    with pytest.raises(istiod.ChoiceError, match="no istiod found"):
        istiod.choose(istiod.discover({"deployments": [], "services": []}))


@pytest.mark.parametrize(
    ("labels", "name"),
    [(ENABLED, "istiod"), ({"istio.io/rev": "gloo"}, "istiod-gloo")],
)
def test_without_injectors_to_read_the_revision_decides(labels: dict[str, str], name: str) -> None:
    both = joined(Istiod().objects(), Istiod("gloo").objects())
    assert chosen({**both, "mutatingwebhookconfigurations": None}, labels) == f"istio-system/{name}"


def test_a_namespace_that_only_its_name_selects() -> None:
    mesh = Istiod()
    for hook in mesh.webhooks[0]["webhooks"]:
        hook["name"] = hook["name"].replace("rev.object", "auto")
        rule = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["bookinfo"]}
        hook["namespaceSelector"] = {"matchExpressions": [rule]}
    assert chosen(joined(mesh.objects(), Istiod("gloo").objects()), {}) == "istio-system/istiod"


def test_labels_that_could_not_be_read_narrow_nothing() -> None:
    found = istiod.discover(TWO)
    with pytest.raises(istiod.ChoiceError, match="2 istiods for namespace bookinfo"):
        istiod.choose(found, for_namespace="bookinfo", namespace_labels=None)


@settings(deadline=None)
@given(st.data())
def test_order_never_chooses(data: st.DataObject) -> None:
    """Whatever order the API gives, the choice or the error is the same word for word."""

    def outcome(objects: Objects, labels: Any, options: dict[str, str]) -> str:
        try:
            return chosen(objects, labels, **options)
        except istiod.ChoiceError as error:
            return str(error)

    objects = data.draw(st.sampled_from([TWO, MOVED, TWINS, NAMESAKES]))
    labels = data.draw(st.sampled_from([None, {}, ENABLED, {"istio.io/rev": "prod"}, {"istio.io/rev": "default"}]))
    options = data.draw(st.sampled_from([{}, {"revision": "default"}, {"namespace": "istio-system"}]))
    shuffled: Objects = {kind: data.draw(st.permutations(items or [])) for kind, items in objects.items()}
    assert outcome(shuffled, labels, options) == outcome(objects, labels, options)
