"""Weights of an ensemble's members, learned from their predictions for devices that they had not seen.

Stacking with non-negative weights that add up to 1 (Wolpert: Stacked generalization, 1992; Breiman: Stacked regressions, 1996): the
ensemble stays within its members' predictions, and members that add nothing get 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.evaluation.evaluate import log_loss
from models.weights import Weights, mean

Float64 = npt.NDArray[np.float64]

_LEAST = 0.01  # a smaller share is not worth a member's time in every prediction


def learned_weights(
    answers: Float64, truth: npt.NDArray[np.floating], classify: bool, of_rows: Weights = None
) -> Float64:
    """Return the weights (M,) that minimise the error of the members' answers (n, M): mean square, or log loss of a probability.

    `of_rows` (n,) are the weights of the rows.
    """
    from scipy.optimize import minimize

    y, m = truth.astype(np.float64), answers.shape[1]
    scale = max(mean(y**2, of_rows), 1e-12)
    counted, n = (answers, len(y)) if of_rows is None else (answers * of_rows[:, None], float(of_rows.sum()))
    gram, cross = counted.T @ answers / n / scale, counted.T @ y / n / scale

    def error(w: Float64) -> float:
        return log_loss(y, answers @ w, of_rows) if classify else float(w @ gram @ w - 2 * cross @ w)

    whole = {"type": "eq", "fun": lambda w: w.sum() - 1}
    found = minimize(error, np.full(m, 1 / m), method="SLSQP", bounds=[(0, 1)] * m, constraints=[whole]).x
    kept = np.where(found < _LEAST, 0.0, found)
    weights: Float64 = np.round(kept / kept.sum(), 4)  # rounded, as the report shows them
    return weights
