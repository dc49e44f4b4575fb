"""What a kernel calls: inputs from a file, the student's function, and what it returned to a file.

It runs in the student's process, so whoever reads the file trusts nothing of it.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path

from IPython import get_ipython

from labkit.course.exercises.plain_values import dumps, loads
from labkit.course.exercises.trial import attempt
from labkit.course.exercises.witness import SOCKET, connect
from labkit.course.judges.registry import get_exercise

NOT_DEFINED = "is not defined by the cell"
FOLDER = "LABKIT_EXCHANGE"  # environment variable: the folder of inputs and returned values


def call_answer(id: str, input_set: str) -> None:
    """Call the notebook's answer to `id` on each of the stored inputs; write the outcomes beside
    them.
    """
    exercise, folder = get_exercise(id), Path(os.environ[FOLDER])
    function = get_ipython().user_ns.get(exercise.function)
    if function is None:
        raise NameError(f"{exercise.function} {NOT_DEFINED} of exercise {id}")
    connect(folder / SOCKET)
    outcomes = []
    stored_inputs = (folder / f"{id}-{input_set}.json").read_bytes()
    for seed, inputs in enumerate(loads(stored_inputs, of_a_student=False)):
        _seed_globals(seed)
        stored = replace(exercise, inputs=lambda _, inputs=inputs: inputs)
        outcome = attempt(stored, function, seed)
        outcomes.append({"error": outcome.error, "returned": dumps(outcome.returned)})
    path = folder / f"{id}-{input_set}.returned.json"
    path.write_text(json.dumps(outcomes), encoding="utf-8")


def _seed_globals(seed: int) -> None:
    """Seed the global generators: an answer that draws from them gets the same numbers each time,
    so that grades can be repeated.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
