"""Whether an agent of the simulated Gloo Mesh connects to the relay, and why not. Pure."""

from __future__ import annotations

from typing import NamedTuple

from lab.vendor.gloo_mesh.certificates import names_of, trusted
from lab.vendor.gloo_mesh.secrets import CLIENT_SECRET, ROOT_SECRET, TOKEN_SECRET


class Server(NamedTuple):
    """The management server as agents reach it.

    addresses: host:port of its relay; certificate: PEM, the server's chain; authorities: PEM, whose certificates of
    agents it accepts; signs: whether it issues certificates to agents.
    """

    ready: bool
    addresses: list[str]
    certificate: bytes
    authorities: bytes
    token: bytes
    registered: frozenset[str]
    signs: bool = True


class Agent(NamedTuple):
    """An agent's settings and the Secrets of its namespace; None where the Secret or its key is missing.

    client: its certificate; own: the user made the Secret with it, otherwise a management server issued it. An agent
    with a certificate of its own needs neither the root Secret nor the token. held: it is connected already, since
    before its cluster was deregistered.
    """

    namespace: str
    cluster: str
    address: str
    authority: str
    root: bytes | None
    token: bytes | None
    client: bytes | None = None
    own: bool = False
    held: bool = False
    client_secret: str = CLIENT_SECRET
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
        where = f"{agent.namespace}/{agent.client_secret if agent.own else agent.root_secret}"
        return Problem(f"no root certificate found in secret {where} with key ca.crt", fatal=True)
    if agent.token is None and not agent.own:
        where = f"{agent.namespace}/{agent.token_secret}"
        return Problem(f"no token data found in secret {where} with key {agent.token_key}", fatal=True)
    dialing = f'connection error: desc = "transport: Error while dialing: dial tcp {agent.address}:'
    hosts = {address.rpartition(":")[0] for address in server.addresses}
    if agent.address.rpartition(":")[0] not in hosts:
        return Problem(f'{dialing} i/o timeout"')
    if agent.address not in server.addresses or not server.ready or not server.certificate:
        return Problem(f'{dialing} connect: connection refused"')
    handshake = (
        'connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate:'
    )
    names = names_of(server.certificate)
    if not any(_covers(name, agent.authority) for name in names):
        return Problem(f'{handshake} x509: certificate is valid for {", ".join(names)}, not {agent.authority}"')
    if not trusted(server.certificate, agent.root):
        return Problem(f'{handshake} x509: certificate signed by unknown authority"')
    if agent.client is not None and not trusted(agent.client, server.authorities):
        return Problem(
            'connection error: desc = "error reading server preface: remote error: tls: unknown certificate authority"'
        )
    if agent.token != server.token and not agent.own:
        return Problem("rpc error: code = Unauthenticated desc = the relay identity token does not match")
    if agent.client is None and not server.signs:
        return Problem("rpc error: code = Unimplemented desc = this server signs no certificates: its CA is disabled")
    if agent.cluster not in server.registered and not agent.held:
        return Problem(
            f'rpc error: code = PermissionDenied desc = cluster "{agent.cluster}" is not registered: '
            "no KubernetesCluster of this name",
            fatal=True,
        )
    return None


def _covers(name: str, asked: str) -> bool:
    """A wildcard matches one label."""
    return name == asked or (name.startswith("*.") and asked.partition(".")[2] == name[2:])
