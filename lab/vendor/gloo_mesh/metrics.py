"""The management server's metrics on connected agents, over HTTP on port 9091 of its Pod."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from lab.pods.pod_ports import POD_PORTS, PodPorts

PORT = 9091

# Gauges by agent's cluster, with the server's help texts.
GAUGES = {
    "relay_pull_clients_connected": "Current number of connected Relay pull clients (Relay Agents).",
    "relay_push_clients_connected": "Current number of connected Relay push clients (Relay Agents).",
    "relay_push_clients_warmed": "Current number of warmed Relay push clients (Relay Agents).",
}


class Metrics:
    """Served while the server has a ready Pod. A cluster appears once it has connected, with 0 after it disconnects."""

    def __init__(self, pod_ports: PodPorts = POD_PORTS) -> None:
        self._pod_ports = pod_ports
        self._place: tuple[str, str] | None = None  # cluster and uid of the server's Pod
        self.seen: set[str] = set()
        self._http: _Http | None = None

    def serve(self, place: tuple[str, str] | None, connected: Iterable[str]) -> None:
        """Serve the metrics of this Pod (cluster, uid); None: stop serving."""
        if place != self._place:
            self.stop()
            self._place = place
            if place is not None:
                self._http = _Http()
                self._pod_ports.put(*place, PORT, self._http.server_address[1])
        now = set(connected)
        self.seen |= now
        if self._http is not None:
            self._http.text = text({name: int(name in now) for name in sorted(self.seen)})

    def stop(self) -> None:
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
        if self._place is not None:
            self._pod_ports.drop(*self._place)
        self._http, self._place, self.seen = None, None, set()


def text(connected: dict[str, int]) -> str:
    """Prometheus' text format. connected: number of agents by cluster."""
    lines = []
    for gauge, meaning in GAUGES.items():
        if connected:
            lines += [f"# HELP {gauge} {meaning}", f"# TYPE {gauge} gauge"]
        lines += [f'{gauge}{{cluster="{name}"}} {count}' for name, count in connected.items()]
    return "".join(f"{line}\n" for line in lines)


class _Http(ThreadingHTTPServer):
    """Serves `text` at /metrics."""

    daemon_threads = True
    text = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name="gloo-mesh-metrics", daemon=True
        ).start()


class _Handler(BaseHTTPRequestHandler):
    server: _Http

    def do_GET(self) -> None:
        found = self.path.partition("?")[0] == "/metrics"
        body = (self.server.text if found else "404 page not found\n").encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """No access log."""
