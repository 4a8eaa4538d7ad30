"""The ports of the stack: asked for, kept from before, or the usual ones; judged before anything starts."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import astuple, dataclass, fields

import psutil

from aimaas.errors import StackError
from local.ports import is_free

HIGHEST = 65_535


@dataclass(frozen=True)
class Ports:
    """Ports of the stack's parts; None where nobody said one."""

    kafka: int | None = None
    airflow: int | None = None
    mlflow: int | None = None
    data_docs: int | None = None


USUAL = Ports(kafka=9092, airflow=8080, mlflow=5000, data_docs=8090)


def check_asked(asked: Ports) -> None:
    """Raise StackError, a line for each, for what is no port and for one that is asked for twice."""
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
    """The port of each part: the one asked for, else the one kept from before, else the usual one.

    `ours` are ports that running parts of the stack listen on; parts in `without` are not started. Raises StackError, a line for
    each, where two parts would have one port, or where another program listens.
    """
    check_asked(asked)
    chosen = {
        field.name: one or other or usual
        for field, one, other, usual in zip(fields(asked), astuple(asked), astuple(kept), astuple(USUAL), strict=True)
        if field.name not in without
    }
    wrong = _doubled(chosen) or [
        f"port {port} is taken{_by(port)}: end what listens there, or give another {option(name)}"
        for name, port in chosen.items()
        if port not in ours and not is_free(port)
    ]
    if wrong:
        raise StackError("\n".join(wrong))
    return Ports(**chosen)


def option(name: str) -> str:
    """The option of `aimaas up` that sets a part's port."""
    return f"--{name.replace('_', '-')}-port"


def _doubled(named: dict[str, int]) -> list[str]:
    first = {port: name for name, port in reversed(named.items())}
    return [
        f"{option(first[port])} and {option(name)} are both {port}: give each a port of its own"
        for name, port in named.items()
        if first[port] != name
    ]


def _by(port: int) -> str:
    """Who listens on a port, as far as this user may see it."""
    try:
        found = [c.pid for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port and c.pid]
        return f" by {psutil.Process(found[0]).name()} (pid {found[0]})" if found else ""
    except psutil.Error:
        return ""
