"""Chooses the ports of the stack: given, kept from the last start, or default. They are checked before any part starts."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import astuple, dataclass, fields

import psutil

from aimaas.errors import StackError
from local.ports import is_free

HIGHEST = 65_535


@dataclass(frozen=True)
class Ports:
    """Ports of the stack's parts; None if none was given."""

    kafka: int | None = None
    airflow: int | None = None
    mlflow: int | None = None
    data_docs: int | None = None


USUAL = Ports(kafka=9092, airflow=8080, mlflow=5000, data_docs=8090)


def check_asked(asked: Ports) -> None:
    """Raise StackError, with a line for each invalid port and each port that was given twice."""
    named = {field.name: port for field, port in zip(fields(asked), astuple(asked), strict=True) if port is not None}
    wrong = [
        f"{option(name)} is {port}: use a port from 1 to {HIGHEST}"
        for name, port in named.items()
        if not 1 <= port <= HIGHEST
    ]
    wrong += _doubled(named)
    if wrong:
        raise StackError("\n".join(wrong))


def choose_ports(asked: Ports, kept: Ports, ours: Set[int], without: Set[str] = frozenset()) -> Ports:
    """Return the port of each part: the given one, else the one of the last start, else the default.

    `ours` has the ports of running parts of the stack. Parts in `without` are not started. Raises StackError, with a line for each
    port that two parts would have, or on which another program listens.
    """
    check_asked(asked)
    chosen = {
        field.name: one or other or usual
        for field, one, other, usual in zip(fields(asked), astuple(asked), astuple(kept), astuple(USUAL), strict=True)
        if field.name not in without
    }
    wrong = _doubled(chosen) or [
        f"port {port} is taken{_by(port)}: end the program that listens there, or give another {option(name)}"
        for name, port in chosen.items()
        if port not in ours and not is_free(port)
    ]
    if wrong:
        raise StackError("\n".join(wrong))
    return Ports(**chosen)


def option(name: str) -> str:
    """Return the option of `aimaas up` for a part's port."""
    return f"--{name.replace('_', '-')}-port"


def _doubled(named: dict[str, int]) -> list[str]:
    first = {port: name for name, port in reversed(named.items())}
    return [
        f"{option(first[port])} and {option(name)} are both {port}: give each a port of its own"
        for name, port in named.items()
        if first[port] != name
    ]


def _by(port: int) -> str:
    """Return the program that listens on a port, if this user may see it."""
    try:
        found = [c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.pid]
        return f" by {psutil.Process(found[0]).name()} (pid {found[0]})" if found else ""
    except psutil.Error:
        return ""
