from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimaas.fleet.expression import MAX_DEPTH, ExpressionError, compile_expression, evaluate

Matrix = npt.NDArray[np.floating]
READINGS = ("torque", "speed", "wear")
numbers = st.floats(-1e6, 1e6, width=32)


Evaluated = tuple[str, Callable[[Matrix], Matrix]]


def reading(name: str) -> Evaluated:
    return name, lambda rows: rows[:, READINGS.index(name)]


def number(value: float) -> Evaluated:
    return repr(value), lambda rows: np.full(len(rows), value)


def joined(left: Evaluated, sign: str, right: Evaluated) -> Evaluated:
    apply = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[sign]
    return f"({left[0]} {sign} {right[0]})", lambda rows: apply(left[1](rows), right[1](rows))


def negated(inner: Evaluated) -> Evaluated:
    return f"-{inner[0]}", lambda rows: -inner[1](rows)


arithmetic = st.recursive(
    st.sampled_from(READINGS).map(reading) | st.floats(0, 1e6).map(number),
    lambda inner: st.builds(joined, inner, st.sampled_from("+-*/"), inner) | inner.map(negated),
    max_leaves=8,
)


@given(arithmetic, st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=4))
def test_arithmetic_equals_numpy_bit_for_bit(expression: Evaluated, rows: list[tuple[float, ...]]) -> None:
    text, by_numpy = expression
    matrix = np.array(rows, np.float64)
    with np.errstate(all="ignore"):
        expected = by_numpy(matrix)
    np.testing.assert_array_equal(evaluate(compile_expression(text, READINGS), matrix), expected)


@given(st.text(max_size=40))
def test_any_text_compiles_or_is_refused_with_a_sentence(text: str) -> None:
    try:
        program = compile_expression(text, READINGS)
    except ExpressionError as e:
        assert str(e)
    else:
        assert len(program.codes) == len(program.values) > 0


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "torque.real", "torque[0]", "abs(torque)", "torque ** 2", "torque // 2", "torque % 2",
        "torque if speed else wear", "lambda: torque", "[torque]", "torque < speed", "torque and speed", "not torque", "~torque",
        "True", "'1'", "1j", "1e999", "(torque := 1)", "f'{torque}'", "unknown", "", "torque,", "torque; speed", "await torque",
        "-" * 5000 + "torque", "(" * 5000 + "torque" + ")" * 5000,
    ],
)  # fmt: skip
def test_whatever_is_no_arithmetic_over_readings_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text, READINGS)


def test_more_operands_than_the_kernels_stack_holds_are_refused() -> None:
    deep = "torque + (" * MAX_DEPTH + "torque" + ")" * MAX_DEPTH
    with pytest.raises(ExpressionError, match="operands wait at once"):
        compile_expression(deep, READINGS)


def test_an_unknown_reading_is_named_with_the_known_ones() -> None:
    with pytest.raises(ExpressionError, match="'tork' is not known here; known are torque, speed, wear"):
        compile_expression("tork * speed", READINGS)
