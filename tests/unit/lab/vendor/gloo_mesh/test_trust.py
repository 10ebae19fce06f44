"""Shared roots and the status of RootTrustPolicies."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from lab.vendor.gloo_mesh.certificates import cacerts, mesh_root
from lab.vendor.gloo_mesh.translation import Translation
from lab.vendor.gloo_mesh.trust import ISSUED, Rules, apply_trust, may_read, meshes, roots_differ, trust_status

A, B = mesh_root("a", 10), mesh_root("b", 10)
BOTH = A["tls.crt"] + B["tls.crt"]


def rooted(made: Any, name: Any, signer: Any, roots: Any = None) -> Any:
    issued = {**cacerts(name, signer), **({"root-cert.pem": roots} if roots else {})} if signer else {}
    data = {key: base64.b64encode(value).decode() for key, value in issued.items()}
    secrets = [made.obj("Secret", "cacerts", "istio-system", data=data)] if signer else []
    return made.Cluster(name, made.obj("Namespace", "istio-system", ""), *secrets)


@pytest.mark.parametrize(
    ("one", "two", "text"),
    [
        ((A,), (A,), ""),
        ((A, BOTH), (A,), ""),  # the first step of a rotation
        ((A, BOTH), (B, BOTH), ""),
        ((A,), (None,), "no secret cacerts in cluster two"),
        ((A,), (B,), "have different roots"),
        ((B, BOTH), (A,), "have different roots"),
    ],
)
def test_each_signer_must_be_among_the_roots_of_the_others(made: Any, one: Any, two: Any, text: Any) -> None:
    result = roots_differ({"one": rooted(made, "one", *one), "two": rooted(made, "two", *two)})
    assert text in result
    assert bool(result) is bool(text)


def istiod(made: Any, image: Any = "istio/pilot:1.27.0-solo", namespace: Any = "istio-system", **more: Any) -> Any:
    env = [{"name": "DEBUG_ENDPOINT_AUTH_ALLOWED_NAMESPACES", "value": more.pop("allowed", "")}]
    return made.pod(
        "istiod", {"app": "istiod"}, namespace, sidecar=False, containers=[{"image": image, "env": env}], **more
    )


def test_a_mesh_is_discovered_once_its_istiod_runs(made: Any) -> None:
    deployment = made.obj("Deployment", "istiod-gloo", "mesh", {"app": "istiod"})
    for early in (False, True):
        rules = Rules(early=early)
        planned = {"istio-system"} if early else set()
        assert meshes(made.Cluster("c", made.obj("Namespace", "istio-system", "")), rules) == planned
        assert meshes(made.Cluster("c", istiod(made, ready=False)), rules) == set()
        assert meshes(made.Cluster("c", deployment), rules) == ({"mesh"} if early else set())
        assert meshes(made.Cluster("c", istiod(made)), rules) == {"istio-system"}
    two = made.Cluster("c", istiod(made), istiod(made, namespace="mesh"))
    assert meshes(two, Rules()) == {"istio-system", "mesh"}


@pytest.mark.parametrize(
    ("version", "restricted"),
    [
        ("1.26.9", False),
        ("1.27.6-solo", False),
        ("1.27.7", True),
        ("1.28.3-patch0-solo", False),
        ("1.28.4", True),
        ("1.29.0", True),
        ("1.32.0-solo", True),
        ("latest", True),
    ],
)
def test_a_server_in_another_namespace_must_be_allowed_to_read_a_newer_istiod(
    made: Any, version: Any, restricted: Any
) -> None:
    image = f"registry.example:5000/istio/pilot:{version}"
    assert may_read(istiod(made, image), "gloo-mesh")
    assert may_read(istiod(made, image), "elsewhere") is not restricted
    assert may_read(istiod(made, image, allowed="other, elsewhere"), "elsewhere")


class Written:
    """A cluster with one RootTrustPolicy or one istiod; records Secrets that are created and deleted."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self.list, self.get, self.name = cluster.list, cluster.get, cluster.name
        self.created: list[str] = []
        self.deleted: list[str] = []

    def create(self, obj: Any, manager: str) -> None:
        self.created.append(obj["metadata"]["name"])

    def delete(self, kind: str, name: str, namespace: str) -> None:
        self.deleted.append(name)

    def set_status(self, obj: Any, status: Any, manager: str) -> None:
        pass


@pytest.mark.parametrize(
    ("issued", "root", "replaces", "expected"),
    [
        (False, B, False, []),
        (False, B, True, ["cacerts"]),
        (False, A, True, []),
        (True, B, False, ["cacerts"]),
        (True, A, False, []),
        (True, None, False, ["cacerts"]),
    ],
)
def test_which_cacerts_are_replaced(made: Any, issued: Any, root: Any, replaces: Any, expected: Any) -> None:
    data = {key: base64.b64encode(value).decode() for key, value in A.items()}
    policy = made.obj("RootTrustPolicy", "root-trust", "gloo-mesh", spec={"config": {}})
    management = made.Cluster("mgmt", policy, made.obj("Secret", "root-trust-root-ca", "gloo-mesh", data=data))
    cluster = rooted(made, "c1", root)
    cluster.objects.append(istiod(made))
    for secret in cluster.list("Secret"):
        secret["type"] = ISSUED if issued else "Opaque"
    written: Any = Written(cluster)
    apply_trust(Written(management), {"c1": written}, Rules(replaces=replaces))  # type: ignore[arg-type]
    assert written.created == expected
    assert written.deleted == (expected if root else [])


def test_trust_policy_status_is_flat(made: Any) -> None:
    policy = made.obj("RootTrustPolicy", "root-trust", "gloo-mesh")
    policy["metadata"]["generation"] = 2
    assert trust_status(Translation("ACCEPTED", "", {}, {}), policy) == {"state": "ACCEPTED", "observedGeneration": 2}
