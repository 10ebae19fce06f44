"""Helm releases on a real API server, with the real helm: ours, those of others, and stuck ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.releases import CANARY, DEPLOYMENT, People, crd, leftovers, now
from acceptance.site import BIN, Site, wait_until
from ansible_collections.multicluster.gloo.plugins.module_utils.k8s.errors import ClusterError, Invalid, Timeout

NUMBERS = count()
THEIRS: dict[str, Any] = {
    "image": {"registry": "registry.example.com/solo"},
    "imagePullSecrets": [{"name": "pull"}],
    "discoveryNamespaceSelectors": [{"matchLabels": {"team": "a"}}],
    "licensing": {"glooGatewayLicenseKey": "L"},
}
SWITCHES: dict[str, Any] = {
    "controller": {"extraEnv": {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true", "KGW_ENABLE_ISTIO_INTEGRATION": "true"}}
}
BOTH = {**THEIRS, **SWITCHES}


@pytest.fixture(scope="module")
def leaving() -> Iterator[list[People]]:
    """Those whose namespace is being deleted, which takes ten seconds: it is awaited once for all tests."""
    found: list[People] = []
    yield found
    wait_until(lambda: all(each.is_gone() for each in found), "namespaces gone", 120)


@pytest.fixture
def people(empty: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaving: list[People]) -> Iterator[People]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = People(empty, tmp_path, f"people-{next(NUMBERS)}")
    found.come()
    yield found
    found.go()
    leaving.append(found)


# -- ours


def test_install_second_run_and_uninstall(people: People) -> None:
    chart = people.chart(deployment=DEPLOYMENT)
    first = people.run(chart=chart, values=SWITCHES, wait=True)
    assert (first["changed"], first["actions"]) == (True, ["install chart version 1.0.0"])
    assert people.values() == SWITCHES
    [row] = json.loads(people.helm("list", "--output", "json"))
    assert first["release"]["status"] == row["status"] == "deployed"
    assert f"{first['release']['chart']}-{first['release']['version']}" == row["chart"]
    assert (first["release"]["whose"], str(first["release"]["revision"])) == ("ours", row["revision"])

    started = people.started()
    with people.untouched():
        again = people.run(chart=chart, values=SWITCHES, wait=True)
    assert (again["changed"], again["actions"], again["writes"]) == (False, [], 0)
    assert again["requests"] <= 2
    assert people.started() == started

    gone = people.run(state="absent")
    assert gone["actions"] == ["uninstall"]
    place = f"/apis/apps/v1/namespaces/{people.namespace}/deployments/edge"
    assert people.site.get(people.cluster, place) is None
    assert people.note() is None
    with people.untouched():
        assert people.run(state="absent")["changed"] is False


def test_values_that_are_no_longer_set_go_away_and_those_of_the_user_stay(people: People) -> None:
    chart = people.chart()
    people.run(chart=chart, values={"a": {"x": 1, "y": 2}})
    people.helm("upgrade", "edge", str(chart), "--reuse-values", "--set", "own=7")
    people.run(chart=chart, values={"a": {"y": 3}})
    assert people.values() == {"own": 7, "a": {"y": 3}}


def test_another_version_of_ours_is_an_upgrade_an_older_one_is_refused(people: People) -> None:
    people.run(chart=people.chart("1.10.0"))
    with people.untouched(), pytest.raises(Invalid) as refused:
        people.run(chart=people.chart("1.9.0"))
    assert "1.10.0" in refused.value.msg and "1.9.0" in refused.value.msg
    assert f"{people.cluster}: Helm release {people.namespace}/edge: " in refused.value.msg
    assert people.run(chart=people.chart("1.11.0"))["actions"] == ["upgrade to chart version 1.11.0"]
    people.run(chart=people.chart("1.9.0"), allow_downgrade=True)
    assert people.history()[-1] == (3, "deployed", "edge-1.9.0")


def test_check_mode_tells_and_writes_nothing(people: People) -> None:
    chart = people.chart()
    with people.untouched():
        install = people.run(check=True, chart=chart, values=SWITCHES)
    assert (install["changed"], install["diff"]["before"]) == (True, "")
    after = yaml.safe_load(install["diff"]["after"])
    assert (after["chart"], after["version"], after["revision"], after["values"]) == ("edge", "1.0.0", 1, SWITCHES)
    people.run(chart=chart, values=SWITCHES)
    with people.untouched():
        upgrade = people.run(check=True, chart=people.chart("1.1.0"), values={"b": 1})
        assert upgrade["actions"] == ["upgrade to chart version 1.1.0"]
        assert people.run(check=True, state="absent")["actions"] == ["uninstall"]
        checked = people.run(state="checked", chart=chart, values={"other": 1})
    assert checked["changed"] is False
    sides = [yaml.safe_load(upgrade["diff"][side]) for side in ("before", "after")]
    assert [(side["version"], side["revision"], side["values"]) for side in sides] == [
        ("1.0.0", 1, SWITCHES),
        ("1.1.0", 2, {"b": 1}),
    ]


def test_values_for_checks_are_never_written(people: People) -> None:
    chart, stand_in = people.chart(), {"address": "known-later:1"}
    with people.untouched():
        shown = people.run(check=True, chart=chart, values=SWITCHES, check_values=stand_in)
        people.run(state="checked", chart=chart, values=SWITCHES, check_values=stand_in)
    assert yaml.safe_load(shown["diff"]["after"])["values"] == {**SWITCHES, **stand_in}
    people.run(chart=chart, values=SWITCHES, check_values=stand_in)
    assert people.values() == SWITCHES
    with people.untouched():
        assert people.run(chart=chart, values=SWITCHES, check_values=stand_in)["changed"] is False


def test_initial_values_are_not_set_in_a_release_of_others(people: People) -> None:
    initial = {"colour": "blue", "size": 1}
    people.helm("install", "edge", str(people.chart("1.1.0")), values={"colour": "red"})
    with people.untouched():
        result = people.run(chart=people.chart("1.0.0"), initial_values=initial)
    assert (result["changed"], result["release"]["whose"], people.note()) == (False, "adopted", None)
    people.run(chart=people.chart("1.0.0"), initial_values=initial, values={"a": 1})
    assert people.values() == {"colour": "red", "a": 1}
    people.run(state="absent")
    assert people.values() == {"colour": "red"}
    people.run(name="own", chart=people.chart("1.0.0", name="own"), initial_values=initial, values={"size": 2})
    assert people.values("own") == {"colour": "blue", "size": 2}
    people.run(name="own", state="absent")


def test_a_release_that_is_checked_is_refused_like_one_that_is_wanted(people: People) -> None:
    people.run(chart=people.chart("1.1.0"))
    with people.untouched(), pytest.raises(Invalid, match=r"1\.1\.0 is installed, which is newer"):
        people.run(state="checked", chart=people.chart("1.0.0"))
    started = people.started()
    assert people.run(state="checked", chart=people.chart("1.1.0"), values={"new": 1})["changed"] is False
    assert people.started() == started


# -- of other people


def test_a_release_with_values_keeps_them_and_its_version(people: People) -> None:
    people.helm("install", "edge", str(people.chart("2.0.4")), values=THEIRS)
    people.helm("upgrade", "edge", str(people.chart("2.0.5")), values=THEIRS)
    result = people.run(chart=people.chart("2.0.0"), values=SWITCHES)
    assert people.values() == BOTH
    assert people.history()[-1] == (3, "deployed", "edge-2.0.5")
    found = people.settings()
    assert found and found["version"] == "2.0.5"
    assert found["values"] == {"colour": "grey", **BOTH}
    assert (result["release"]["whose"], people.note()["multicluster.gloo/former-revision"]) == ("adopted", "2")  # type: ignore[index]

    with people.untouched():
        assert people.run(chart=people.chart("2.0.0"), values=SWITCHES)["changed"] is False

    assert people.run(state="absent")["actions"] == ["roll back to revision 2"]
    assert (people.values(), people.history()[-1][2]) == (THEIRS, "edge-2.0.5")
    assert people.note() is None


@pytest.mark.parametrize("newest", ["failed", "pending-upgrade"])
def test_the_last_deployed_revision_is_given_back(people: People, newest: str) -> None:
    for number in (1, 2, 3):
        people.helm("upgrade", "--install", "edge", str(people.chart()), values={"number": number})
    hook = people.chart(hook=True)
    people.helm("upgrade", "edge", str(hook), "--timeout", "1s", values={"number": 4}, code=1)
    assert people.history()[-1][:2] == (4, "failed")
    if newest == "pending-upgrade":
        _mark(people, 4, newest, age=400)
    people.run(chart=people.chart(), values=SWITCHES)
    assert people.note()["multicluster.gloo/former-revision"] == "3"  # type: ignore[index]
    assert people.values() == {"number": 3, **SWITCHES}
    people.run(state="absent")
    assert people.values() == {"number": 3}
    assert people.history()[-1][1] == "deployed"


def test_an_uninstalled_release_is_not_revived(people: People) -> None:
    people.helm("install", "edge", str(people.chart()), values=THEIRS)
    people.helm("uninstall", "edge", "--keep-history")
    time.sleep(1.1)  # creation times have seconds
    result = people.run(chart=people.chart(), values=SWITCHES)
    assert (result["release"]["whose"], people.values()) == ("ours", SWITCHES)
    people.run(state="absent")
    wait_until(lambda: people.settings() is None, "the objects of the release gone")
    assert people.helm("list", "--output", "json").strip() == "[]"
    assert people.history()[-1][1] == "uninstalled"


def test_only_our_values_are_taken_out_when_the_owner_changed_the_release_since(people: People) -> None:
    chart = str(people.chart())
    people.helm("install", "edge", chart, values={"colour": "red"})
    people.run(chart=chart, values={"colour": "blue", "ours": True})
    people.helm("upgrade", "edge", chart, "--reuse-values", "--set", "size=2")
    people.run(state="absent")
    assert people.values() == {"colour": "red", "size": 2}


def test_a_value_that_its_owner_changed_after_us_is_his(people: People) -> None:
    chart = str(people.chart())
    people.helm("install", "edge", chart, values={"colour": "red"})
    people.run(chart=chart, values={"colour": "blue", "ours": {"x": 1}})
    people.helm("upgrade", "edge", chart, "--reuse-values", "--set", "colour=green")
    people.run(state="absent", keep_note=True)
    assert people.values() == {"colour": "green"}
    with people.untouched():
        assert people.run(state="absent", keep_note=True)["changed"] is False


def test_a_release_whose_newest_record_was_deleted_keeps_its_values(people: People) -> None:
    """The usual first aid for a stuck release; all that is left may be superseded."""
    for number in (1, 2, 3):
        people.helm("upgrade", "--install", "edge", str(people.chart("1.1.0")), values={"number": number})
    people.site.delete(people.cluster, f"/api/v1/namespaces/{people.namespace}/secrets/sh.helm.release.v1.edge.v3")
    result = people.run(chart=people.chart("1.0.0"), values=SWITCHES)
    assert result["release"]["whose"] == "adopted"
    assert (people.values(), people.history()[-1][2]) == ({"number": 2, **SWITCHES}, "edge-1.1.0")
    people.run(state="absent")
    assert people.values() == {"number": 2}


def test_values_are_given_back_after_helm_forgot_the_revision(people: People) -> None:
    chart = str(people.chart())
    people.helm("install", "edge", chart, values={"colour": "red"})
    people.run(chart=chart, values={"colour": "blue", "n": 0})
    for number in range(1, 11):
        people.run(chart=chart, values={"colour": "blue", "n": number})
    assert people.history()[0][0] > 1
    people.run(state="absent")
    assert people.values() == {"colour": "red"}


def test_a_release_of_others_is_not_removed(people: People) -> None:
    people.helm("install", "edge", str(people.chart()), values=THEIRS)
    with people.untouched():
        result = people.run(state="absent")
    assert (result["changed"], result["release"]["whose"]) == (False, "foreign")


@pytest.mark.parametrize("keep_history", [[], ["--keep-history"]], ids=["", "with history"])
def test_a_release_that_its_owner_installed_again_is_his(people: People, keep_history: list[str]) -> None:
    chart = str(people.chart())
    assert people.run(chart=chart, values=SWITCHES)["release"]["whose"] == "ours"
    people.helm("uninstall", "edge", *keep_history)
    people.helm("upgrade", "--install", "edge", chart, values={"colour": "red"})
    with people.untouched():
        assert people.run(state="absent", keep_note=True)["release"]["whose"] == "foreign"
    assert people.run(chart=chart, values=SWITCHES)["release"]["whose"] == "adopted"
    assert people.values() == {"colour": "red", **SWITCHES}
    people.run(state="absent")
    assert people.values() == {"colour": "red"}


@pytest.mark.parametrize("driver", ["configmap", ""])
def test_releases_in_config_maps_are_found(people: People, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    people.helm("install", "edge", str(people.chart("1.1.0")), values=THEIRS, driver="configmap")
    if driver:
        monkeypatch.setenv("HELM_DRIVER", driver)
    people.run(chart=people.chart("1.0.0"), values=SWITCHES)
    assert people.values(driver="configmap") == BOTH
    assert people.helm("list", "--output", "json").strip() == "[]"
    people.run(state="absent")
    assert people.values(driver="configmap") == THEIRS


def test_what_helm_says_is_refused_when_the_driver_cannot_be_read(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELM_DRIVER", "sql")
    with pytest.raises(Invalid, match="HELM_DRIVER is sql"):
        people.run(chart=people.chart())


ARGO = {"annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:x/edge-settings"}}
FLUX = {"labels": {"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux"}}
INSTANCE = {"labels": {"app.kubernetes.io/instance": "shop"}}
OTHER = {"annotations": {"meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "x"}}


@pytest.mark.parametrize(
    ("metadata", "owner"),
    [
        (ARGO, "Argo CD application shop"),
        (FLUX, "Flux Kustomization flux/shop"),
        (INSTANCE, "instance shop"),
        (OTHER, "Helm release x/shop"),
        ({}, "field manager "),
    ],
    ids=["argo", "flux", "instance", "helm", "nobody"],
)
def test_objects_of_others_are_left_alone(people: People, metadata: dict[str, Any], owner: str) -> None:
    place = f"/api/v1/namespaces/{people.namespace}/configmaps"
    people.site.create(
        people.cluster,
        place,
        {"kind": "ConfigMap", "metadata": {"name": "edge-settings", **metadata}, "data": {"a": "b"}},
    )
    with people.untouched():
        for state in ("present", "checked"):
            with pytest.raises(Invalid) as refused:
                people.run(chart=people.chart(), state=state)
            assert f"ConfigMap {people.namespace}/edge-settings belongs to " in refused.value.msg
            assert owner in refused.value.msg
        kept = people.run(chart=people.chart(), on_conflict="keep")
    assert kept["changed"] is False and owner in kept["msg"]


@pytest.fixture
def crds(people: People) -> Iterator[None]:
    yield
    for plural in ("apples", "pears"):
        place = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.example.com"
        people.site.delete(people.cluster, place)
        wait_until(lambda place=place: people.site.get(people.cluster, place) is None, "CRD gone")  # type: ignore[misc]


def test_a_crd_of_another_release_is_left_out_by_its_switch(people: People, crds: None) -> None:
    people.helm("install", "orchard", str(people.chart(name="orchard", apples=crd("apples"))))
    chart = people.chart(name="basket", apples=crd("apples", guard="withApples"), pears=crd("pears"))
    with people.untouched(), pytest.raises(Invalid) as refused:
        people.run(name="basket", chart=chart)
    assert "CustomResourceDefinition apples.example.com belongs to" in refused.value.msg
    assert f"Helm release {people.namespace}/orchard" in refused.value.msg

    with people.untouched(), pytest.raises(Invalid, match="even with withOranges set to false"):
        people.run(name="basket", chart=chart, owned_crds={"withOranges": ["apples.example.com"]})

    options: dict[str, Any] = {"name": "basket", "chart": chart, "owned_crds": {"withApples": ["apples.example.com"]}}
    people.run(**options)
    assert people.values("basket") == {"withApples": False}
    assert people.note("basket")["multicluster.gloo/groups"] == "example.com"  # type: ignore[index]
    with people.untouched():
        again = people.run(**options)
    assert (again["changed"], again["requests"] <= 2) == (False, True)
    people.run(name="basket", state="absent")
    owner = people.site.get(
        people.cluster, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apples.example.com"
    )
    assert owner and owner["metadata"]["annotations"]["meta.helm.sh/release-name"] == "orchard"


# -- stuck


@pytest.mark.parametrize("victim", ["helm", "module", "parent"])
@pytest.mark.parametrize("before", ["nothing", "a release"])
def test_a_run_that_was_killed_is_repaired_by_the_next(people: People, before: str, victim: str) -> None:
    if before == "a release":
        people.run(chart=people.chart("1.0.0"), values={"first": 1})
    process = people.interrupted(victim, chart=people.chart("1.1.0", hook=True), values=SWITCHES)
    assert process.returncode != 0
    status = people.history()[-1][1]
    # Helm that is asked to end may still record that it failed.
    assert status.startswith("pending-") or (victim != "helm" and status == "failed")
    result = people.run(chart=people.chart("1.1.0"), values=SWITCHES)
    heal = "uninstall" if before == "nothing" else "roll back to revision 1"
    assert result["actions"][0] == heal
    assert f"has status {status} since " in result["msg"]
    assert (people.values(), people.history()[-1][1:]) == (SWITCHES, ("deployed", "edge-1.1.0"))


def test_a_release_that_another_helm_works_on_is_waited_for(people: People) -> None:
    people.run(chart=people.chart(), values={"first": 1})
    people.helm("upgrade", "edge", str(people.chart(hook=True)), "--timeout", "1s", code=1)
    _mark(people, 2, "pending-upgrade", age=0)
    with people.untouched():
        told = people.run(check=True, chart=people.chart(), values=SWITCHES)
        assert "revision 2 has status pending-upgrade since" in told["msg"]
        with pytest.raises(Timeout) as late:
            people.run(chart=people.chart(), values=SWITCHES, timeout="2s")
    assert "revision 2 has status pending-upgrade since" in late.value.msg
    assert "helm rollback edge" in late.value.msg


def test_an_uninstall_that_was_interrupted_is_finished(people: People) -> None:
    people.run(chart=people.chart(), values={"first": 1})
    _mark(people, 1, "uninstalling", age=400)
    people.run(chart=people.chart(), values=SWITCHES)
    assert (people.values(), people.history()) == (SWITCHES, [(1, "deployed", "edge-1.0.0")])


def _mark(people: People, revision: int, status: str, age: int) -> None:
    """As helm leaves a record when it is killed; a file cannot be waited for, so only its labels are made."""
    place = f"/api/v1/namespaces/{people.namespace}/secrets/sh.helm.release.v1.edge.v{revision}"
    labels = {"status": status, "modifiedAt": str(int(time.time()) - age)}
    people.site.patch(people.cluster, place, {"metadata": {"labels": labels}})


# -- secrets


def test_secrets_are_nowhere(people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_MESH_LICENSE_KEY", CANARY)
    since = now()
    secret = {"licensing": {"glooGatewayLicenseKey": CANARY}, "manager": {"env": {"SOLO_ISTIO_LICENSE_KEY": CANARY}}}
    results: list[Any] = [people.run(check=True, chart=people.chart(), values=secret)]
    results.append(people.run(chart=people.chart(), values=secret))
    assert people.values() == secret
    results.append(people.run(chart=people.chart("1.1.0"), values={"a": 1, **secret}))
    broken = people.chart("1.2.0", broken='{{ fail (printf "key %s" .Values.licensing.glooGatewayLicenseKey) }}')
    with pytest.raises(ClusterError) as failed:
        people.run(chart=broken, values=secret)
    assert "key (redacted)" in failed.value.msg
    results += [failed.value.msg, failed.value.facts, people.run(state="absent")]
    assert CANARY not in json.dumps(results)
    assert "glooGatewayLicenseKey" in json.dumps(results[1])

    written = [people.log.with_name(f"helm.log.{part}").read_text() for part in ("arguments", "environment")]
    assert all(written) and not any(CANARY in text for text in written)
    kubeconfig = people.site.kubeconfig.read_text()
    keys = [line.split(":", 1)[1].strip() for line in kubeconfig.splitlines() if "client-key-data" in line]
    for text in (CANARY, keys[0]):
        assert leftovers(tmp_path, since, text) == []
        assert leftovers(Path("/tmp"), since, text) == []


def test_secrets_of_others_are_kept_for_them_but_not_in_the_note(people: People) -> None:
    theirs = {"licensing": {"glooGatewayLicenseKey": CANARY}, "auth": {"password": CANARY}}
    people.helm("install", "edge", str(people.chart()), values=theirs)
    people.run(chart=people.chart(), values={"licensing": {"glooGatewayLicenseKey": "another-licence"}})
    assert CANARY not in json.dumps(people.note()) and "another-licence" not in json.dumps(people.note())
    people.run(state="absent")
    assert people.values() == theirs
    left = people.site.get(people.cluster, f"/api/v1/namespaces/{people.namespace}/secrets/multicluster.gloo.edge")
    assert left is None


@pytest.mark.parametrize("where", ["in process", "as a module"])
def test_ansible_shows_no_secret_with_vvv(people: People, where: str, tmp_path: Path) -> None:
    values = {"licensing": {"glooMeshLicenseKey": CANARY}, "size": 4711}
    params = people.params(chart=people.chart(), values=values)
    given = ("kubeconfig", "context", "name", "namespace", "chart", "values", "binary_path")
    task: dict[str, Any] = {"name": "Release", "multicluster.gloo.helm_release": {key: params[key] for key in given}}
    if where == "as a module":
        task |= {"async": 120, "poll": 1}
    play = tmp_path / "play.yml"
    hosts = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    play.write_text(yaml.safe_dump([{**hosts, "tasks": [task]}]))
    for options in (("--check",) if where == "in process" else (), ()):
        run = people.site.run(str(BIN / "ansible-playbook"), str(play), "-vvv", "--diff", *options).ok()
        assert CANARY not in run.output
        assert "4711" in run.output and "glooMeshLicenseKey" in run.output
    assert people.values() == {"licensing": {"glooMeshLicenseKey": CANARY}, "size": 4711}


# -- helm itself


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "is not found. Install Helm 3.12 or newer"),
        ("echo v3.8.0", "is Helm v3.8.0; versions from 3.12 up to 4 are supported"),
        ("echo 'version.BuildInfo'", "does not report a version of Helm"),
        ("exit 3", "does not report a version of Helm"),
    ],
)
def test_a_helm_that_cannot_be_used_is_told_before_the_first_write(
    people: People, script: str | None, said: str, tmp_path: Path
) -> None:
    program = tmp_path / "old-helm"
    if script:
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    with people.untouched():
        for state in ("present", "checked"):
            with pytest.raises(ClusterError) as failed:
                people.run(chart=people.chart(), binary_path=program, state=state)
            assert said in failed.value.msg and str(program) in failed.value.msg


def test_a_helm_that_does_not_end_is_ended(people: People) -> None:
    with pytest.raises(ClusterError, match=r"timed out|deadline"):
        people.run(chart=people.chart(hook=True), timeout="2s")
    assert people.history()[-1][1] == "failed"
