"""Whether an agent of the simulated Gloo Mesh connects to the relay, and why not. Pure."""

from __future__ import annotations

from typing import NamedTuple

from lab.vendor.gloo_mesh.certificates import issued_by, names_of
from lab.vendor.gloo_mesh.secrets import ROOT_SECRET, TOKEN_SECRET


class Server(NamedTuple):
    """The management server as agents reach it.

    addresses: host:port of its relay; certificate, root, signing: PEM, the last one signs agents' certificates.
    """

    ready: bool
    addresses: list[str]
    certificate: bytes
    root: bytes
    signing: bytes
    token: bytes
    registered: frozenset[str]


class Agent(NamedTuple):
    """An agent's settings and the Secrets of its namespace; None where the Secret or its key is missing.

    client: the certificate issued by this management server or an earlier one.
    """

    namespace: str
    cluster: str
    address: str
    authority: str
    root: bytes | None
    token: bytes | None
    client: bytes | None = None
    root_secret: str = ROOT_SECRET
    token_secret: str = TOKEN_SECRET
    token_key: str = "token"


class Problem(NamedTuple):
    """Why an agent is not connected, as it logs it; fatal: the process exits."""

    message: str
    fatal: bool = False


def problem(agent: Agent, server: Server) -> Problem | None:
    """None when the agent connects."""
    if agent.root is None:
        where = f"{agent.namespace}/{agent.root_secret}"
        return Problem(f"no root certificate found in secret {where} with key ca.crt", fatal=True)
    if agent.token is None:
        where = f"{agent.namespace}/{agent.token_secret}"
        return Problem(f"no token data found in secret {where} with key {agent.token_key}", fatal=True)
    dialing = f'connection error: desc = "transport: Error while dialing: dial tcp {agent.address}:'
    hosts = {address.rpartition(":")[0] for address in server.addresses}
    if agent.address.rpartition(":")[0] not in hosts:
        return Problem(f'{dialing} i/o timeout"')
    if agent.address not in server.addresses or not server.ready:
        return Problem(f'{dialing} connect: connection refused"')
    handshake = (
        'connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate:'
    )
    names = names_of(server.certificate)
    if not any(_covers(name, agent.authority) for name in names):
        return Problem(f'{handshake} x509: certificate is valid for {", ".join(names)}, not {agent.authority}"')
    if agent.root.strip() != server.root.strip():
        return Problem(f'{handshake} x509: certificate signed by unknown authority"')
    if agent.client is not None and not issued_by(agent.client, server.signing):
        return Problem(
            'connection error: desc = "error reading server preface: remote error: tls: unknown certificate authority"'
        )
    if agent.token != server.token:
        return Problem("rpc error: code = Unauthenticated desc = the relay identity token does not match")
    if agent.cluster not in server.registered:
        return Problem(
            f'rpc error: code = PermissionDenied desc = cluster "{agent.cluster}" is not registered: '
            "no KubernetesCluster of this name"
        )
    return None


def _covers(name: str, asked: str) -> bool:
    """A wildcard matches one label."""
    return name == asked or (name.startswith("*.") and asked.partition(".")[2] == name[2:])
