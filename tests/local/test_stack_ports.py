"""Ports of the stack: asked for, kept, usual; one line for each that cannot be had."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from aimaas.errors import StackError
from local.ports import free_port
from local.stack_ports import Ports, check_asked, choose_ports


def four_free() -> Ports:
    found: set[int] = set()
    while len(found) < 4:
        found.add(free_port())
    return Ports(*found)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


@pytest.mark.parametrize("port", [0, -1, 65_536, 99_999])
def test_what_is_no_port_is_one_line_that_names_the_option(port: int) -> None:
    with pytest.raises(StackError) as raised:
        check_asked(Ports(data_docs=port))

    assert str(raised.value) == f"--data-docs-port is {port}: use a port from 1 to 65535"


def test_one_port_for_two_parts_is_refused_also_where_one_of_them_is_kept_from_before() -> None:
    kept = four_free()
    both = f"--kafka-port and --mlflow-port are both {kept.kafka}: give each a port of its own"

    with pytest.raises(StackError) as raised:
        choose_ports(Ports(mlflow=kept.kafka), kept, set())

    assert str(raised.value) == both


def test_a_port_that_is_asked_for_goes_before_the_one_kept_and_that_before_the_usual_one() -> None:
    asked, kept = four_free(), four_free()

    assert choose_ports(Ports(kafka=asked.kafka), kept, set()).kafka == asked.kafka
    assert choose_ports(Ports(), kept, set()) == kept


def test_a_port_where_a_stranger_listens_is_told_with_who_it_is(taken: int) -> None:
    with pytest.raises(StackError, match=rf"^port {taken} is taken by .+ \(pid {os.getpid()}\): .*--mlflow-port$"):
        choose_ports(Ports(mlflow=taken), four_free(), set())


def test_a_port_where_a_part_of_the_stack_listens_is_its_own(taken: int) -> None:
    assert choose_ports(Ports(mlflow=taken), four_free(), {taken}).mlflow == taken


def test_the_port_of_a_part_that_is_not_started_does_not_matter(taken: int) -> None:
    kept = four_free()

    assert (
        choose_ports(Ports(), Ports(kept.kafka, kept.airflow, taken, kept.data_docs), set(), {"mlflow"}).mlflow is None
    )
