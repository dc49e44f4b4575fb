"""An accuracy predictor that adds up points for each block, as a JSON file in a supernet's folder.

A space in which labkit measured nothing may have one that was fitted to what others measured. It is
a table like one of a cost: what an arch has at its resolution, and what each of its blocks adds. It
may be for some of the space's resolutions only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from labkit.space import SearchSpace
from labkit.space.binding import space_fields, space_of, version_text
from labkit.storage.atomic_write import write_atomic
from labkit.storage.json_fields import Fields, read_json
from labkit.storage.npz_file import ArtifactError
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.tables.costs import AdditiveTable

FILE, SCHEMA = "additive-predictor.json", "labkit-additive-predictor-1"
ADVICE = "restore it from the repository"
DECIMALS = 4  # of a percent


def write_additive_predictor(folder: Path, table: AdditiveTable, header: Mapping) -> None:
    """`table` is in percent. `header` has the `label` of the model and its `rmse` on measured
    archs, None without any; it may say more of how the table was fitted.
    """
    base, blocks = (np.round(array, DECIMALS).tolist() for array in (table.base, table.blocks))
    fields = {"schema": SCHEMA, **space_fields(table.space), **header}
    text = json.dumps({**fields, "base": base, "blocks": blocks})  # a thousand numbers: one line
    write_atomic(folder / FILE, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def read_additive_predictor(folder: Path, space: SearchSpace) -> AccuracyModel:
    """The predictor in `folder`, which is for `space` or for it at some of its resolutions: the
    space of the model's `predict`.

    Raises ArtifactError that names the file and what is wrong with it.
    """
    path = folder / FILE
    value = read_json(path, ArtifactError, ADVICE)
    fields = Fields(value, path, ArtifactError, advice=ADVICE)
    fields.require_schema(SCHEMA)
    part = space_of(value, path, ArtifactError, ADVICE)
    if not space.covers(part):
        raise ArtifactError(
            f"{path} was made for space {version_text(part)}, which is no part of"
            f" {version_text(space)}; {ADVICE}"
        )
    try:
        arrays = [np.array(fields.get(name, list), dtype=float) for name in ("base", "blocks")]
        table = AdditiveTable(part, *arrays)
    except (ValueError, TypeError, OverflowError) as error:
        raise ArtifactError(f"{path}: {error}; {ADVICE}") from None
    rmse = None if fields.value.get("rmse") is None else fields.amount("rmse")
    return AccuracyModel(table, fields.text("label"), rmse, value)
