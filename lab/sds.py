"""What the container `sds` of a gateway proxy does at its start, as a program of its own: python -m lab.sds FOLDER PORT

It looks for the certificate files that istio-proxy writes, eight times at doubling intervals; once they are there it
accepts connections, else it ends with code 1. The real one waits four times as long, and hands the files to Envoy.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from pathlib import Path

FILES = ("key.pem", "cert-chain.pem", "root-cert.pem")
TRIES = 8
FIRST_PAUSE = 0.025  # seconds; the real one begins with 0.1


def missing(folder: Path) -> str:
    """The first certificate file that is not there, empty when all are."""
    return next((name for name in FILES if not (folder / name).exists()), "")


def patience(first: float = FIRST_PAUSE) -> float:
    """Seconds from start to giving up."""
    return float(sum(first * 2**turn for turn in range(TRIES - 1)))


def main(folder: Path, port: int) -> int:
    for turn in range(TRIES):
        if turn:
            time.sleep(FIRST_PAUSE * 2 ** (turn - 1))
        if not missing(folder):
            break
    else:
        print(f"secrets check failed: could not find file '/etc/istio-certs/{missing(folder)}'", flush=True)
        return 1
    with socket.create_server(("127.0.0.1", port)) as server:
        print("sds server listening on 0.0.0.0:8234", flush=True)
        while True:
            server.accept()[0].close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
