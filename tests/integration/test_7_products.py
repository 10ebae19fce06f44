"""The guide with each product line of the gateway, chosen by one variable and found without it afterwards."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acceptance import snapshot
from acceptance.audit import Mark
from acceptance.site import Site, nothing_left


class Line(NamedTuple):
    """What a user expects of a product line: its name, namespace, GatewayClass, and where the licence is."""

    product: str
    namespace: str
    gateway_class: str
    licence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.product


LINES = (
    Line("kgateway", "kgateway-system", "kgateway"),
    Line("enterprise-kgateway", "kgateway-system", "enterprise-kgateway", ("licensing", "licenseKey")),
    Line("gloo-gateway", "gloo-system", "gloo-gateway-v2", ("licensing", "glooGatewayLicenseKey")),
)


def kubectl(site: Site, *arguments: str) -> str:
    return site.lab("exec", "--", "kubectl", "--context", site.gateway_cluster, *arguments).ok().output


def values(site: Site, line: Line) -> dict[str, Any]:
    """User-supplied values of the controller's release, as helm shows them."""
    command = ("helm", "--kube-context", site.gateway_cluster, "--namespace", line.namespace)
    found: dict[str, Any] = json.loads(
        site.lab("exec", "--", *command, "get", "values", line.product, "--output", "json").ok().output
    )
    return found


@pytest.mark.share
@pytest.mark.parametrize("line", LINES, ids=str)
def test_the_guide_runs_with_each_product_line(empty: Site, before: dict[str, snapshot.Snapshot], line: Line) -> None:
    site, chosen = empty, {"gateway_product": line.product}
    # Open-source kgateway needs no licence.
    environment = {} if line.licence else {"GLOO_GATEWAY_LICENSE_KEY": ""}
    planned = site.play("site", "--check", "--diff", variables=chosen, environment=environment).ok()
    for text in (f"gatewayClassName: {line.gateway_class}\n", f"{line.namespace}/http", f"{line.namespace}/reviews"):
        assert text in planned.output

    site.play("site", variables=chosen, environment=environment).ok()

    gateway = json.loads(kubectl(site, "get", "gateways", "http", "-n", line.namespace, "-o", "json"))
    assert gateway["spec"]["gatewayClassName"] == line.gateway_class
    release = values(site, line)
    assert set(release) == {"controller", *line.licence[:1]}
    assert set(release.get("licensing") or {}) == set(line.licence[1:])

    # Without the variable the product line is found, and the release keeps its licence.
    mark = Mark(site)
    again = site.play("site", environment={"GLOO_GATEWAY_LICENSE_KEY": ""}).ok()
    assert again.changed == {} and [str(write) for write in mark.writes()] == []
    site.play("doctor").ok()

    site.play("cleanup", variables={"cleanup_vendor_crds": True}).ok()
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


@pytest.mark.skipif(not os.environ.get("LAB_KGATEWAY"), reason="LAB_KGATEWAY is not set: the controller is simulated")
def test_the_guide_runs_with_the_real_kgateway_controller(empty: Site, before: dict[str, snapshot.Snapshot]) -> None:
    """Its program serves the Gateway, also after a restart of its Pod."""
    site, chosen = empty, {"gateway_product": "kgateway"}
    site.play("site", variables=chosen).ok()
    controller = ("-n", "kgateway-system", "deployment/kgateway")
    assert "starting kgateway" in kubectl(site, "logs", *controller)

    mark = Mark(site)
    assert site.play("site", variables=chosen).ok().changed == {} and [str(write) for write in mark.writes()] == []

    kubectl(site, "rollout", "restart", *controller)
    kubectl(site, "rollout", "status", *controller, "--timeout", "60s")
    site.play("doctor").ok()

    site.play("cleanup", variables={"cleanup_vendor_crds": True}).ok()
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


class Team(NamedTuple):
    """A controller of another team: product line, its values, and whether Helm or kubectl applied it."""

    product: str
    values: dict[str, Any]
    with_helm: bool = True

    def __str__(self) -> str:
        return f"{self.product} by {'helm' if self.with_helm else 'kubectl'}"


MIRROR = "registry.example.com/mirror"
SWITCHES = {"KGW_ENABLE_ISTIO_AUTO_MTLS": "true", "KGW_ENABLE_ISTIO_INTEGRATION": "true"}
TEAMS = (
    Team("kgateway", {"image": {"registry": MIRROR}, "controller": {"logLevel": "debug", "extraEnv": {"KGW_X": "1"}}}),
    Team("enterprise-kgateway", {"licensing": {"createSecret": False, "secretName": "theirs"}}),
    Team(
        "gloo-gateway",
        {"licensing": {"glooGatewayLicenseKey": "theirs"}, "controller": {"extraEnv": SWITCHES}},
        with_helm=False,
    ),
)


def install(site: Site, team: Team) -> None:
    """Gateway API, and the controller with a release and namespaces of other names."""
    charts, values = site.inventory["all"]["vars"]["lab_charts"], json.dumps(team.values)
    kubectl(site, "apply", "--server-side", "--filename", site.inventory["all"]["vars"]["gateway_api_crds"])
    kubectl(site, "create", "namespace", "infra")
    kubectl(site, "-n", "infra", "create", "secret", "generic", "theirs", "--from-literal=license-key=theirs")
    for release, chart, text in (("edge-crds", f"{team.product}-crds", "{}"), ("edge", team.product, values)):
        with tempfile.TemporaryDirectory() as folder:
            file, rendered = Path(folder, "values.json"), Path(folder, "rendered.yaml")
            file.write_text(text)
            place = (release, charts[chart], "--namespace", "infra", "--values", str(file))
            if team.with_helm:
                site.lab("exec", "--", "helm", "--kube-context", site.gateway_cluster, "install", *place).ok()
                continue
            command = ["exec", "--", "helm", "template", *place, "--output-dir", folder]
            site.lab(*command).ok()
            rendered.write_text("\n---\n".join(path.read_text() for path in Path(folder, chart).rglob("*.yaml")))
            kubectl(site, "-n", "infra", "apply", "--server-side", "--filename", str(rendered))
    kubectl(site, "-n", "infra", "rollout", "status", f"deployment/edge-{team.product}", "--timeout", "60s")


def uninstall(site: Site, team: Team) -> None:
    kubectl(site, "delete", "gatewayclasses", "--all")
    if team.with_helm:
        helm = ("exec", "--", "helm", "--kube-context", site.gateway_cluster, "--namespace", "infra", "uninstall")
        site.lab(*helm, "edge", "edge-crds").ok()
    else:
        kubectl(site, "delete", "clusterrole,clusterrolebinding", f"edge-{team.product}-infra")
        names = kubectl(site, "get", "crds", "-o", "name").split()
        kubectl(site, "delete", *(name for name in names if "kgateway.dev" in name or "solo.io" in name))
    kubectl(site, "delete", "namespace", "infra")
    kubectl(site, "delete", "--filename", site.inventory["all"]["vars"]["gateway_api_crds"])


def controller(site: Site, team: Team) -> dict[str, Any]:
    """What the team sees of its controller: the release's values and version, or the Deployment's generation."""
    if not team.with_helm:
        found = json.loads(kubectl(site, "-n", "infra", "get", "deployment", f"edge-{team.product}", "-o", "json"))
        return {"generation": found["metadata"]["generation"], "labels": found["metadata"]["labels"]}
    helm = ("exec", "--", "helm", "--kube-context", site.gateway_cluster, "--namespace", "infra")
    [row] = json.loads(site.lab(*helm, "list", "--filter", "^edge$", "--output", "json").ok().output)
    values = json.loads(site.lab(*helm, "get", "values", "edge", "--output", "json").ok().output)
    return {"chart": row["chart"], "status": row["status"], "values": values}


@pytest.mark.share
@pytest.mark.parametrize("team", TEAMS, ids=str)
def test_a_controller_of_another_team_is_used(empty: Site, before: dict[str, snapshot.Snapshot], team: Team) -> None:
    """Found by what it is, kept as it is; it gets the two settings that are needed, and gives them back."""
    site = empty
    install(site, team)
    theirs = controller(site, team)

    site.play("site", environment={"GLOO_GATEWAY_LICENSE_KEY": ""}).ok()

    gateway = json.loads(kubectl(site, "get", "gateways", "http", "-n", "infra", "-o", "json"))
    assert gateway["spec"]["gatewayClassName"] in {line.gateway_class for line in LINES if line.product == team.product}
    now = controller(site, team)
    if team.with_helm:
        extra = now["values"]["controller"].pop("extraEnv")
        assert extra == {**(theirs["values"].get("controller") or {}).get("extraEnv", {}), **SWITCHES}
        expected = json.loads(json.dumps(theirs))
        expected["values"].setdefault("controller", {}).pop("extraEnv", None)
        assert now == expected
    else:
        assert now == theirs
    proxy = json.loads(kubectl(site, "get", "deployment", "http", "-n", "infra", "-o", "json"))
    [sds] = [each for each in proxy["spec"]["template"]["spec"]["containers"] if each["name"] == "sds"]
    own = str((team.values.get("image") or {}).get("registry") or "cr.kgateway.dev/kgateway-dev")
    assert sds["image"].startswith(f"{own}/sds:v")
    assert site.play("site", environment={"GLOO_GATEWAY_LICENSE_KEY": ""}).ok().changed == {}

    site.play("cleanup", variables={"cleanup_vendor_crds": True}).ok()
    if not team.with_helm:
        assert controller(site, team) == theirs
    else:
        assert controller(site, team)["values"] == theirs["values"]
    uninstall(site, team)
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


@pytest.mark.share
@pytest.mark.parametrize("theirs", ["gloo-gateway-crds", "enterprise-kgateway-crds"])
def test_crds_without_a_switch_are_refused_before_the_first_write(
    empty: Site, before: dict[str, snapshot.Snapshot], theirs: str
) -> None:
    """Another product's release owns the open-source CRDs, and no chart can leave them out."""
    site, charts = empty, empty.inventory["all"]["vars"]["lab_charts"]
    wanted = "enterprise-kgateway" if theirs == "gloo-gateway-crds" else "gloo-gateway"
    helm = ("exec", "--", "helm", "--kube-context", site.gateway_cluster, "--namespace", "default")
    site.lab(*helm, "install", "theirs", charts[theirs]).ok()
    mark = Mark(site)
    try:
        run = site.play("site", variables={"gateway_product": wanted})
        assert run.code != 0 and run.changed == {}
        assert "gatewayparameters.gateway.kgateway.dev belongs to Helm release default/theirs" in run.errors
        assert [str(write) for write in mark.writes()] == []
    finally:
        site.lab(*helm, "uninstall", "theirs").ok()
    nothing_left(lambda: snapshot.all_differences(before, snapshot.take(site)))


@pytest.mark.share
def test_an_unknown_product_line_is_reported_once_by_the_cluster_of_the_gateway(empty: Site) -> None:
    mark = Mark(empty)
    run = empty.play("site", variables={"gateway_product": "kong"})
    assert run.code != 0 and run.changed == {}
    assert f"{empty.gateway_cluster}: gateway_product is 'kong'" in run.errors
    assert [each for each in empty.clusters if f"{each}: {empty.gateway_cluster}: " in run.errors] == []
    assert [str(write) for write in mark.writes()] == []
