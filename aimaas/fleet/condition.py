"""Conditions of alert rules: comparisons of arithmetic, joined by `and`, `or` and `not`, evaluated as columns.

`prediction < 30 and o3 > 60` is parsed by Python's own grammar and checked against a whitelist, as derived channels are. No
text is ever evaluated as Python. A row whose condition needs a value that is missing (NaN) has no answer: it is neither true
nor false.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aimaas.fleet.expression import ExpressionError, Program, compile_node, evaluate_columns

Float64 = npt.NDArray[np.float64]
Compare = Callable[[npt.NDArray[np.floating], npt.NDArray[np.floating]], npt.NDArray[np.bool_]]
Answers = npt.NDArray[np.int8]  # 1 true, 0 false, UNKNOWN

UNKNOWN = -1
MAX_COMPARISONS = 50

_COMPARE: Mapping[type[ast.cmpop], Compare] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Comparison:
    """`left` and `right` are programs over the condition's names."""

    left: Program
    compare: Compare
    right: Program


@dataclass(frozen=True)
class Joined:
    """`and`, `or` or `not` (of one part)."""

    word: str
    parts: tuple[Joined | Comparison, ...]


@dataclass(frozen=True)
class Condition:
    """A compiled condition. `names` are the values that it uses, in the column order of its programs."""

    names: tuple[str, ...]
    root: Joined | Comparison

    def answers(self, columns: Mapping[str, Float64]) -> Answers:
        """Answer n rows; `columns` has (n,) values for each of `names`. Returns (n,): 1, 0, or UNKNOWN where a value is NaN."""
        with np.errstate(all="ignore"):
            true, known = _truth(self.root, [columns[name] for name in self.names])
        return np.where(known, true, UNKNOWN).astype(np.int8)


def _truth(
    node: Joined | Comparison, columns: Sequence[Float64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which rows are true, and which have all the values that the condition needs."""
    if isinstance(node, Comparison):
        left, right = (evaluate_columns(side, columns, np.float64) for side in (node.left, node.right))
        return node.compare(left, right), ~(np.isnan(left) | np.isnan(right))
    found = [_truth(part, columns) for part in node.parts]
    known = np.logical_and.reduce([k for _, k in found])
    true = [t for t, _ in found]
    if node.word == "not":
        return ~true[0], known
    return (np.logical_and if node.word == "and" else np.logical_or).reduce(true), known


def compile_condition(text: str, names: Sequence[str]) -> Condition:
    """Compile `text` to a condition over some of `names`. Raises ExpressionError."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{text!r} cannot be parsed; write a condition such as 'prediction < 30'") from None
    try:
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        mine = tuple(name for name in names if name in used)
        # a wrong name is reported with all the names that are allowed
        root = _compiled(tree.body, mine if used <= set(mine) else tuple(names))
    except RecursionError:
        raise ExpressionError("nested too deeply; split it into several rules") from None
    if not mine:
        raise ExpressionError(f"{text!r} uses no value; the values are {', '.join(names)}")
    if sum(isinstance(node, ast.cmpop) for node in ast.walk(tree)) > MAX_COMPARISONS:
        raise ExpressionError(f"more than {MAX_COMPARISONS} comparisons; split it into several rules")
    return Condition(mine, root)


def _compiled(node: ast.expr, names: Sequence[str]) -> Joined | Comparison:
    match node:
        case ast.BoolOp(op=op, values=values):
            word = "and" if isinstance(op, ast.And) else "or"
            return Joined(word, tuple(_compiled(value, names) for value in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Joined("not", (_compiled(operand, names),))
        case ast.Compare(left=left, ops=ops, comparators=comparators) if all(type(op) in _COMPARE for op in ops):
            sides = [compile_node(side, names) for side in (left, *comparators)]
            pairs = zip(sides, ops, sides[1:], strict=False)
            parts = tuple(Comparison(a, _COMPARE[type(op)], b) for a, op, b in pairs)
            return parts[0] if len(parts) == 1 else Joined("and", parts)
    raise ExpressionError(
        f"{ast.unparse(node)!r} is no condition; compare values with < <= > >= == !=, and join comparisons with and, or, not"
    )
