"""A synthetic accuracy for spaces in which no accuracies were measured.

It stands in for a fitted predictor where a search needs one, and is called synthetic wherever it is
shown. It is stage-separable and seeded, and spans the accuracies that the OFA paper reports for its
space.

Shapes in trailing comments: C configurations of a stage, B blocks of a stage, R global
choices.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from labkit.space import SearchSpace
from labkit.tables.separable import StageTable

LOWEST, HIGHEST = 71.5, 77.0  # top-1 accuracy in percent, of the least and the most accurate arch


def synthetic_accuracy(
    space: SearchSpace, kind: Literal["rough", "concave"] = "rough", seed: int = 0
) -> StageTable:
    """Predicted top-1 accuracy in percent, between 71.5 and 77.

    "concave": each block adds to its stage's capacity by its kernel size, expand ratio and place,
    and accuracy has diminishing returns in the capacity of each stage, in the resolution and in the
    width; no noise. "rough": random terms instead, for each choice of each block and for each pair
    of neighboring blocks of a stage, over a trend in depth, expand ratio, kernel size, resolution
    and width.

    Raises ValueError for another `kind`.

    >>> from labkit.space.presets import get_space
    >>> space = get_space("ofa-mbv3")
    >>> accuracy = synthetic_accuracy(space, "concave")
    >>> accuracy(space.encode([space.smallest(), space.largest()]))
    array([71.5, 77. ])
    """
    builders = {"concave": _concave, "rough": _rough}
    if kind not in builders:
        raise ValueError(
            f"unknown kind {kind!r} of synthetic predictor, known: {', '.join(builders)}"
        )
    rng = np.random.default_rng(seed)
    largest = space.global_choices[-1]
    sizes = np.prod(np.array(space.global_choices) / largest, axis=1)  # (R,)
    base = np.sqrt(sizes) * len(space.stages)
    stages = []
    for s in range(len(space.stages)):
        values = builders[kind](space, s, rng)  # (C,) with a span of about 1
        table = np.zeros((len(sizes), space.stage_sizes[s]))
        weight_of_stages = 0.8 + 0.2 * sizes[:, None]  # small images need smaller stages
        table[:, space.valid_codes(s)] = weight_of_stages * values
        stages.append(table)
    codes = [space.valid_codes(s) for s in range(len(stages))]
    low = (base + sum(table[:, c].min(1) for table, c in zip(stages, codes))).min()
    high = (base + sum(table[:, c].max(1) for table, c in zip(stages, codes))).max()
    scale = (HIGHEST - LOWEST) / (high - low) if high > low else 0.0  # a space of one arch
    return StageTable(space, LOWEST + scale * (base - low), [scale * table for table in stages])


def _blocks(space: SearchSpace, s: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel index, expand index and presence (C, B) of each block of stage `s`."""
    configs, stage = space.stage_configs(s), space.stages[s]
    depth = np.array(stage.depths)[configs[:, 0]]
    return configs[:, 1::2], configs[:, 2::2], np.arange(stage.max_depth) < depth[:, None]


def _concave(space: SearchSpace, s: int, rng: np.random.Generator) -> np.ndarray:
    stage = space.stages[s]
    kernel, expand, present = _blocks(space, s)
    size = np.sqrt(np.array(stage.expands)[expand]) + rng.uniform(0.1, 0.3) * np.sqrt(
        np.array(stage.kernels)[kernel]
    )
    place = rng.uniform(0.7, 1.3, stage.max_depth) * 0.8 ** np.arange(stage.max_depth)
    return rng.uniform(0.7, 1.3) * np.sqrt((size * place * present).sum(1))


def _rough(space: SearchSpace, s: int, rng: np.random.Generator) -> np.ndarray:
    stage = space.stages[s]
    kernel, expand, present = _blocks(space, s)
    choice = kernel * len(stage.expands) + expand
    trend = 0.15 * present + 0.05 * (kernel + 2 * expand) * present
    values = trend.sum(1) * rng.uniform(0.7, 1.3)
    for i in range(stage.max_depth):
        single = 0.05 * rng.standard_normal(stage.block_choices)
        values = values + single[choice[:, i]] * present[:, i]
        if i:
            pair = 0.05 * rng.standard_normal((stage.block_choices, stage.block_choices))
            values = values + pair[choice[:, i - 1], choice[:, i]] * present[:, i]
    return values
