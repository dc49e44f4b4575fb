"""What subnets cost, as exercises hand it to a student: plain arrays, one for each stage."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from labkit.space import SearchSpace
from labkit.tables.separable import Separable


def stage_tables(
    space: SearchSpace, tables: Mapping[str, Separable]
) -> list[list[dict[str, np.ndarray]]]:
    """For each global choice and stage, by the names of the tables, the terms (C,) of every
    configuration, in the order of `space.stage_configs`.

    The terms of stage 0 include what all subnets share.
    """
    return [
        [
            {
                name: table.combine(values, table.base[r]) if s == 0 else values
                for name, table in tables.items()
                for values in [table.stage_values(s)[r, space.valid_codes(s)]]
            }
            for s in range(len(space.stages))
        ]
        for r in range(len(space.global_choices))
    ]
