"""Simulates the container `sds` of a gateway proxy. Usage: python sds.py FOLDER PORT [FIRST_PAUSE]

It looks for the certificate files that istio-proxy writes, eight times at doubling intervals. Once they exist it
accepts connections, otherwise it exits with code 1. The real one starts with a pause of 0.1 seconds, and serves the
files to Envoy.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

FILES = ("key.pem", "cert-chain.pem", "root-cert.pem")
ATTEMPTS = 8
FIRST_PAUSE = 0.025  # seconds


def missing(folder: Path) -> str:
    """The first certificate file that does not exist, empty when all do."""
    return next((name for name in FILES if not (folder / name).exists()), "")


def pauses(first: float = FIRST_PAUSE) -> list[float]:
    """Seconds before each further attempt."""
    return [first * 2**attempt for attempt in range(ATTEMPTS - 1)]


def main(folder: Path, port: int, first_pause: float = FIRST_PAUSE) -> int:
    for pause in pauses(first_pause):
        if not missing(folder):
            break
        time.sleep(pause)
    if missing(folder):
        print(f"secrets check failed: could not find file '/etc/istio-certs/{missing(folder)}'", flush=True)
        return 1
    with socket.create_server(("127.0.0.1", port)) as server:
        print("sds server listening on 0.0.0.0:8234", flush=True)
        while True:
            server.accept()[0].close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), *map(float, sys.argv[3:])))
