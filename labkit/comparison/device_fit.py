"""Fitting a simulated device's parameters to published latencies, and judging the fit.

The fitted parameters are those that make the published latencies and the parameters together most
probable: latencies are off by a factor with a standard deviation of 7 % (with the tails of a
pseudo-Huber loss, so that a single odd figure does not rule), parameters by as much as their priors
say. Where the latencies say nothing about a parameter, it stays at its prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from labkit.latency.simulated.device_file import Parameter, roofline_of
from labkit.space.operators import Operator

NOISE = 0.07  # of a latency's logarithm
INDEPENDENT = 20  # networks of one measurement series weigh as many independent ones


class Timings(NamedTuple):
    """Networks as counts (N, D) of D different operators, with their latency."""

    operators: tuple[Operator, ...]
    counts: np.ndarray
    milliseconds: np.ndarray  # (N,)

    @classmethod
    def of(cls, networks: Iterable[Sequence[Operator]], milliseconds: Iterable[float]) -> Timings:
        columns: dict[Operator, int] = {}
        rows = [
            [columns.setdefault(o._replace(part="", name="", reads=()), len(columns)) for o in each]
            for each in networks
        ]
        counts = np.array([np.bincount(row, minlength=len(columns)) for row in rows])
        return cls(tuple(columns), counts, np.array([*milliseconds], dtype=float))

    def only(self, rows: np.ndarray) -> Timings:
        """Some of the networks, by index or mask."""
        return Timings(self.operators, self.counts[rows], self.milliseconds[rows])


def simulate(values: Mapping[str, float], bytes_per_value: int, timings: Timings) -> np.ndarray:
    """Milliseconds (N,) of the networks on the roofline with parameters `values`."""
    roofline = roofline_of(values, bytes_per_value)
    microseconds = np.array([roofline.operator_us(operator) for operator in timings.operators])
    return (roofline.start_us + timings.counts @ microseconds) / 1e3


def fit(
    parameters: Mapping[str, Parameter], bytes_per_value: int, series: Sequence[Timings]
) -> dict[str, float]:
    """Values of all parameters; those that have a prior are fitted to the measurement series."""
    values = {name: parameter.value for name, parameter in parameters.items()}
    fitted = [name for name in parameters if parameters[name].prior is not None]
    center = np.log([parameters[name].prior for name in fitted])
    spread = np.array([parameters[name].spread for name in fitted])

    def at(x: np.ndarray) -> dict[str, float]:
        return {**values, **dict(zip(fitted, np.exp(x).tolist()))}

    def residuals(x: np.ndarray) -> np.ndarray:
        parts = [(x - center) / spread]
        for timings in series:
            simulated = simulate(at(x), bytes_per_value, timings)
            errors = np.log(simulated / timings.milliseconds) / NOISE
            weight = min(1.0, INDEPENDENT / max(1, len(errors)))
            parts.append(np.sqrt(2 * weight * (np.hypot(1, errors) - 1)) * np.sign(errors))
        return np.concatenate(parts)

    return at(least_squares(residuals, center))


def left_out(
    parameters: Mapping[str, Parameter],
    bytes_per_value: int,
    timings: Timings,
    folds: np.ndarray,
    others: Sequence[Timings] = (),
) -> np.ndarray:
    """Milliseconds (N,) of each network on the device fitted to all but those of its fold.

    `folds` (N,) are numbers of any kind; `others` are series that every fit sees.
    """
    simulated = np.empty(len(folds))
    for fold in np.unique(folds):
        rest, judged = timings.only(folds != fold), folds == fold
        values = fit(parameters, bytes_per_value, [*others, rest])
        simulated[judged] = simulate(values, bytes_per_value, timings.only(judged))
    return simulated


def least_squares(
    residuals: Callable[[np.ndarray], np.ndarray], start: np.ndarray, *, steps: int = 60
) -> np.ndarray:
    """The x near `start` with the smallest sum of squared residuals (Levenberg and Marquardt)."""
    x, value, damping = start, residuals(start), 1e-2
    for _ in range(steps):
        nudges = 1e-5 * np.eye(len(x))
        jacobian = np.stack([(residuals(x + nudge) - value) / 1e-5 for nudge in nudges], axis=1)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ value
        step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
        attempt = residuals(x + step)
        if attempt @ attempt < value @ value:
            x, value, damping = x + step, attempt, damping / 5
            if np.abs(step).max() < 1e-6:
                break
        else:
            damping *= 5
    return x
