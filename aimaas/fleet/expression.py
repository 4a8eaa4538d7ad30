"""Derived channels: arithmetic over readings, compiled to a postfix program.

`power: torque * speed` is parsed by Python's own grammar, checked against a whitelist (names, finite numbers, + - * /, a sign,
parentheses) and turned into a program of two small arrays. No text is ever evaluated as Python. Each operation is one IEEE 754
operation, so numpy, the compiled kernel and any machine give the same bits.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

READING, NUMBER, ADD, SUBTRACT, MULTIPLY, DIVIDE, NEGATE = range(7)
BINARY = frozenset({ADD, SUBTRACT, MULTIPLY, DIVIDE})
MAX_DEPTH = 16  # operands on the stack at once; the kernel's stack has this size
MAX_STEPS = 1_000  # operations of a program: the kernel runs it for each row of the window

_OPERATORS: Mapping[type[ast.operator], int] = {ast.Add: ADD, ast.Sub: SUBTRACT, ast.Mult: MULTIPLY, ast.Div: DIVIDE}


class ExpressionError(ValueError):
    """The text is no arithmetic over readings; the message names the wrong part and what is allowed."""


@dataclass(frozen=True)
class Program:
    """A postfix program: `codes[i]` is the operation, `values[i]` a reading's index or a number (0 elsewhere)."""

    codes: tuple[int, ...]
    values: tuple[float, ...]


def compile_expression(text: str, readings: Sequence[str]) -> Program:
    """Compile `text` to a program over `readings` (their order gives the indices). Raises ExpressionError."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{text!r} cannot be parsed; write arithmetic such as 'torque * speed'") from None
    return compile_node(tree.body, readings)


def compile_node(node: ast.expr, readings: Sequence[str]) -> Program:
    """Compile a parsed expression; see `compile_expression`."""
    steps: list[tuple[int, float]] = []
    try:
        _emit(node, {name: i for i, name in enumerate(readings)}, steps)
    except RecursionError:
        raise ExpressionError("nested too deeply; split it into several derived channels") from None
    if _depth(steps) > MAX_DEPTH:
        raise ExpressionError(f"more than {MAX_DEPTH} operands wait at once; write it with fewer nested parentheses")
    if len(steps) > MAX_STEPS:
        raise ExpressionError(f"more than {MAX_STEPS} readings, numbers and operations; split it into several channels")
    return Program(tuple(c for c, _ in steps), tuple(v for _, v in steps))


def _emit(node: ast.expr, index: Mapping[str, int], steps: list[tuple[int, float]]) -> None:
    match node:
        case ast.Name(id=name) if name in index:
            steps.append((READING, float(index[name])))
        case ast.Name(id=name):
            raise ExpressionError(f"{name!r} is not known here; known are {', '.join(index)}")
        case ast.Constant(value=bool()):
            raise ExpressionError(f"{node.value!r} is not a number")
        case ast.Constant(value=int() | float() as number) if math.isfinite(number):
            steps.append((NUMBER, float(number)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            _emit(left, index, steps)
            _emit(right, index, steps)
            steps.append((_OPERATORS[type(op)], 0.0))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            _emit(operand, index, steps)
            steps.append((NEGATE, 0.0))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            _emit(operand, index, steps)
        case _:
            raise ExpressionError(
                f"{ast.unparse(node)!r} is not allowed; use readings, numbers, + - * / and parentheses"
            )


def _depth(steps: Sequence[tuple[int, float]]) -> int:
    depth = deepest = 0
    for code, _ in steps:
        depth += 1 if code in (READING, NUMBER) else 0 if code == NEGATE else -1
        deepest = max(deepest, depth)
    return deepest


_APPLY: Mapping[int, Callable[[npt.NDArray[np.floating], npt.NDArray[np.floating]], npt.NDArray[np.floating]]] = {
    ADD: np.add,
    SUBTRACT: np.subtract,
    MULTIPLY: np.multiply,
    DIVIDE: np.divide,
}


def evaluate(program: Program, rows: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Evaluate the program for each row of readings: shape (n, readings) -> (n,), in the dtype of `rows`.

    A division by zero or an overflow gives inf or NaN, as in IEEE 754; admission refuses such a row.
    """
    with np.errstate(all="ignore"):
        return np.broadcast_to(evaluate_columns(program, rows.T, rows.dtype), len(rows))


def evaluate_columns(
    program: Program, columns: Sequence[npt.NDArray[np.floating]] | npt.NDArray[np.floating], dtype: npt.DTypeLike
) -> npt.NDArray[np.floating]:
    """Evaluate the program for columns (n,) of `dtype`, one for each reading: (n,), or () if the program only has numbers.

    numpy warns of a division by zero unless the caller ignores it.
    """
    stack: list[npt.NDArray[np.floating]] = []
    for code, value in zip(program.codes, program.values, strict=True):
        if code == READING:
            stack.append(columns[int(value)])
        elif code == NUMBER:
            stack.append(np.asarray(value, dtype))
        elif code == NEGATE:
            stack.append(-stack.pop())
        else:
            right = stack.pop()
            stack.append(_APPLY[code](stack.pop(), right))
    return stack.pop()
