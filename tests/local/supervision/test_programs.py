"""The plan: kept whole, for its owner only; what makes two programs the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.errors import StackError
from local.supervision.programs import PLAN_FILE, Program, read_plan, write_plan

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
PROGRAMS = st.builds(
    Program,
    TEXT,
    st.just(Path("/srv/a")),
    st.lists(TEXT, min_size=1).map(tuple),
    st.none() | st.dictionaries(TEXT, TEXT),
    st.none() | st.just(Path("/srv/b")),
    st.none() | st.integers(1, 65_535),
    TEXT,
)


@given(st.lists(PROGRAMS))
def test_a_plan_is_read_as_it_was_written_with_the_same_identities(
    tmp_path_factory: pytest.TempPathFactory, programs: list[Program]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "plan"

    write_plan(folder, programs)

    found = read_plan(folder)
    assert found == programs
    assert [p.identity for p in found] == [p.identity for p in programs]


def test_only_the_owner_may_read_a_plan_whose_environments_hold_secrets(tmp_path: Path) -> None:
    secret = Program("one", tmp_path, ("true",), {"AIMAAS_KAFKA_SASL_PASSWORD": "s3cret"})

    write_plan(tmp_path, [secret])

    assert (tmp_path / PLAN_FILE).stat().st_mode & 0o077 == 0
    assert "s3cret" not in repr(secret)


def test_a_torn_plan_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / PLAN_FILE).write_text('[{"name": "x"')

    with pytest.raises(StackError, match=r"plan\.json cannot be read .*: run `aimaas down`, then `aimaas up`"):
        read_plan(tmp_path)


def test_what_decides_what_a_program_does_makes_another_one_and_the_shell_does_not() -> None:
    one = Program("one", Path("/srv"), ("true",), {"AIMAAS_LAKE": "a", "SHLVL": "1"}, port=1)

    assert replace(one, environ={"AIMAAS_LAKE": "a", "SHLVL": "2"}).identity == one.identity
    others = [
        replace(one, environ={"AIMAAS_LAKE": "b"}),
        replace(one, command=("false",)),
        replace(one, port=2),
        replace(one, working_directory=Path("/")),
        replace(one, reads="another file"),
    ]
    assert len({one.identity, *(p.identity for p in others)}) == 6
