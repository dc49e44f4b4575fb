"""The images of a supernet where they can be had, and one sentence where they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.data.record import DataError
from labkit.supernet.folder import TrainedSupernet

if TYPE_CHECKING:
    from labkit.data.datasets import DataSet


def available_images(trained: TrainedSupernet) -> DataSet | None:
    """The data set of a supernet; None, after a sentence that says what follows, where its images
    are not here.

    Raises CheckpointError where there are no weights, or other images go by the same name.
    """
    try:
        return trained.dataset
    except DataError as error:
        print(
            f"The images of {trained.dataset_record.name!r} are not here, so what looks at images"
            f" is skipped and everything else works: {error}"
        )
        return None
