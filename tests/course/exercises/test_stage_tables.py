"""Terms of stages put together again are what the tables say of whole subnets."""

import numpy as np

from labkit.course.exercises.stage_tables import stage_tables
from labkit.space import SearchSpace, Stage
from labkit.tables.costs import activation_table, macs_table

STAGE = Stage(8, 2, (1, 2), (3, 5), (2, 3))
SPACE = SearchSpace("two", (8, 12), (STAGE, STAGE), 1, 10, 8)


def test_sums_and_maxima_over_stages_are_the_costs_of_subnets():
    macs, memory = macs_table(SPACE), activation_table(SPACE, 1)
    terms = stage_tables(SPACE, {"macs": macs, "memory": memory})
    genes = SPACE.encode(list(SPACE.enumerate()))
    places = [
        [np.flatnonzero(SPACE.valid_codes(s) == code)[0] for s, code in enumerate(row)]
        for row in SPACE.stage_codes(genes)
    ]
    for (r, *_), picks, macs_of, memory_of in zip(genes, places, macs(genes), memory(genes)):
        stages = [
            {name: values[i] for name, values in stage.items()} for stage, i in zip(terms[r], picks)
        ]
        assert np.isclose(sum(stage["macs"] for stage in stages), macs_of)
        assert max(stage["memory"] for stage in stages) == memory_of
