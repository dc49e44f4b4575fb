"""A synthetic accuracy predictor for spaces without measured accuracies, called synthetic wherever it is shown.

It is stage-separable and seeded, and spans the accuracies that the OFA paper reports for its space.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from labkit.separable import StageTable
from labkit.space import SearchSpace

LOWEST, HIGHEST = 71.5, 77.0  # top-1 accuracy in percent, of the least and the most accurate arch


def synthetic_accuracy(space: SearchSpace, kind: Literal["rough", "concave"] = "rough", seed: int = 0) -> StageTable:
    """Predicted top-1 accuracy in percent, between 71.5 and 77.

    "concave": every block adds to its stage's capacity by kernel size, expand ratio and place, and a
    stage's capacity, like the resolution, has diminishing returns. "rough": the same, with a random
    deviation for each configuration of each stage at each resolution, a tenth as large as the stage's span.
    """
    if kind not in ("rough", "concave"):
        raise ValueError(f"unknown kind {kind!r} of synthetic predictor, known: rough, concave")
    rng = np.random.default_rng(seed)
    resolutions = np.array(space.resolutions, dtype=float)
    stages = []
    for s, stage in enumerate(space.stages):
        configs, codes = space.stage_configs(s), space.valid_codes(s)
        depth = np.array(stage.depths)[configs[:, 0]]
        capacity = np.zeros(len(configs))
        for i in range(stage.max_depth):
            kernel = np.array(stage.kernels)[configs[:, 1 + 2 * i]]
            expand = np.array(stage.expands)[configs[:, 2 + 2 * i]]
            gain = rng.uniform(0.7, 1.3) * 0.8 ** i * np.sqrt(expand) * (1 + 0.15 * rng.uniform(0.5, 1.5) * np.sqrt(kernel))
            capacity += np.where(i < depth, gain, 0)
        values = rng.uniform(0.7, 1.3) * np.sqrt(capacity)
        values = values * (1 + 0.2 * (resolutions[:, None] / resolutions[-1] - 1))  # small images need fewer features
        if kind == "rough":
            values = values + 0.1 * np.ptp(values) * rng.standard_normal(values.shape)
        table = np.zeros((len(resolutions), space.stage_sizes[s]))
        table[:, codes] = values
        stages.append(table)
    base = len(stages) * np.sqrt(resolutions / resolutions[-1])
    low = base + sum(values[:, space.valid_codes(s)].min(1) for s, values in enumerate(stages))
    high = base + sum(values[:, space.valid_codes(s)].max(1) for s, values in enumerate(stages))
    scale = (HIGHEST - LOWEST) / (high.max() - low.min())
    return StageTable(space, LOWEST + scale * (base - low.min()), [scale * values for values in stages])
