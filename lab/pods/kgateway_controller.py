"""The real controller of open-source kgateway as a container, in a lab that has its program (lab/programs/kgateway.py).

It has the container's environment, and is the Pod's ServiceAccount to the API server, with the token that the kubelet
mounts. It listens on fixed ports of every address, so it runs in a network namespace of its own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from lab.control_plane import kwokctl
from lab.control_plane.cluster import Cluster
from lab.control_plane.lab import Lab
from lab.control_plane.objects import Object, labels_of
from lab.pods import containers, network_namespace, volumes
from lab.pods.gateway_containers import Command, root_folder

PROGRAM = "kgateway"
HEALTH_PORT, READY = 9093, "/readyz"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # where every Pod has its token


def is_controller(lab: Lab, pod: Object) -> bool:
    """Whether the Pod is a controller that runs here; those of other products have the same label."""
    labelled = labels_of(pod).get("kgateway") == "kgateway"
    return PROGRAM in lab.programs and labelled and any(map(is_container, pod["spec"]["containers"]))


def is_container(container: Object) -> bool:
    return re.search(kwokctl.REAL_CONTROLLER, container.get("image", "")) is not None


def command(lab: Lab, cluster: Cluster, pod: Object, container: Object, folder: Path) -> Command | None:
    """The program of a controller Pod's container, None for other containers; folder: the Pod's."""
    if not is_container(container):
        return None
    root, port = root_folder(folder, container), lab.free_port()
    volumes.mount(root, folder / "volumes", container)
    root.mkdir(parents=True, exist_ok=True)
    kubeconfig = root / "kubeconfig"
    kubeconfig.write_text(json.dumps(_kubeconfig(cluster.api.server, containers.inside(root, ACCOUNT))))
    api = urlsplit(cluster.api.server).port or 443
    arguments, env = network_namespace.command(api, port, HEALTH_PORT, str(lab.programs[PROGRAM]))
    given = {
        "POD_NAMESPACE": pod["metadata"]["namespace"],
        **containers.environment(pod, container),
        "KGW_DISABLE_LEADER_ELECTION": "true",  # of a controller that was killed, the lease would have to expire
        "KUBECONFIG": str(kubeconfig),
    }
    return Command(arguments, {**env, **given}, root, port, READY)


def _kubeconfig(server: str, account: Path) -> Object:
    """A kubeconfig of the ServiceAccount whose token and CA are in `account`; client-go reads the token again."""
    name = "lab"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority": str(account / "ca.crt")}}],
        "users": [{"name": name, "user": {"tokenFile": str(account / "token")}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
