"""The mean of a table of two crossed random factors, with its confidence interval."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


class Interval(NamedTuple):
    """A mean and the ends of its 95% confidence interval; NaN where nothing shows a spread."""

    mean: float
    low: float
    high: float


def two_way_interval(table: ArrayLike) -> Interval:
    """Return mean and 95% interval of values that vary by row and by column.

    Rows are, for example, generators and columns seeds of a classifier, both a sample of many: the
    two-way random-effects model without replication. The variance of the grand mean is
    (MS_rows + MS_columns - MS_rest) / (R C), its degrees of freedom Satterthwaite's (1946). The
    difference is estimated as not less than the largest of the three mean squares, since a
    variance component is not negative. One row or one column leaves Student's t of the other.

    Args:
        table: [R, C].
    """
    values = np.asarray(table, float)
    rows, columns = values.shape
    squares = _mean_squares(values)
    if not squares:
        return Interval(float(values.mean()), np.nan, np.nan)
    if len(squares) == 1:
        square, freedom = squares[0]
    else:
        (by_row, f_row), (by_column, f_column), (rest, f_rest) = squares
        square = by_row + by_column - rest
        parts = by_row**2 / f_row + by_column**2 / f_column + rest**2 / f_rest
        freedom = square**2 / parts if parts else 1.0
        largest, its = max(squares)
        if square < largest:
            square, freedom = largest, float(its)
    half = float(stats.t.ppf(0.975, freedom)) * (square / (rows * columns)) ** 0.5
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half)


def _mean_squares(values: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Return mean square and degrees of freedom: of rows, columns, rest; or of the only factor."""
    rows, columns = values.shape
    if rows * columns == 1:
        return []
    if 1 in values.shape:
        return [(float(values.var(ddof=1)), values.size - 1)]
    by_row, by_column, mean = values.mean(1), values.mean(0), values.mean()
    rest = values - by_row[:, None] - by_column[None] + mean
    free = (rows - 1) * (columns - 1)
    return [
        (columns * float(by_row.var(ddof=1)), rows - 1),
        (rows * float(by_column.var(ddof=1)), columns - 1),
        (float((rest**2).sum()) / free, free),
    ]
