"""Health check of a container that serves from Kafka: its `aimaas` process runs and holds a connection to a broker.

`python deploy/connected.py score` exits with 0 when that is so for `aimaas score …`, else with 1 and a line that says what
is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import psutil

from aimaas.settings import read_settings


def broker_ports(bootstrap_servers: str) -> set[int]:
    """Return the ports of `host:port[,host:port]`."""
    return {int(server.rsplit(":", 1)[1]) for server in bootstrap_servers.split(",")}


def serving(command: str) -> Iterable[psutil.Process]:
    """Yield the running processes of the command `aimaas <command>`."""
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        named = any(word.endswith("aimaas") and words[i + 1 : i + 2] == [command] for i, word in enumerate(words))
        if named and process.info["status"] != psutil.STATUS_ZOMBIE:
            yield process


def is_connected(process: psutil.Process, ports: set[int]) -> bool:
    """Say whether the process holds an open connection to one of the ports."""
    try:
        open_ones = [c for c in process.net_connections("tcp") if c.status == psutil.CONN_ESTABLISHED]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
    return any(c.raddr and c.raddr.port in ports for c in open_ones)


def main() -> None:
    """Check the command that the first argument names."""
    processes = list(serving(sys.argv[1]))
    if not processes:
        sys.exit(f"no process of `aimaas {sys.argv[1]}` runs")
    servers = read_settings().bootstrap_servers
    if not any(is_connected(process, broker_ports(servers)) for process in processes):
        sys.exit(f"`aimaas {sys.argv[1]}` has no connection to Kafka at {servers}")


if __name__ == "__main__":
    main()
