"""What a trained supernet records of its data set: enough to use its weights on other images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields


class DatasetRecord(NamedTuple):
    """Name, classes and numbers of a data set; no images, and nothing that needs torch."""

    name: str
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]  # of each channel, for pixels in [0, 1]
    std: tuple[float, ...]
    splits: Mapping[str, int]  # images of each split

    def to_json(self) -> dict:
        return self._asdict()

    @classmethod
    def from_json(cls, value: object, source: object, error: type[LabError]) -> DatasetRecord:
        """Read what `to_json` gives; raises `error`, which names `source` and the field."""
        fields = Fields(value, source, error, prefix="dataset")
        return cls(
            name=fields.text("name"),
            classes=tuple(fields.get("classes", list)),
            channels=fields.get("channels", int),
            mean=tuple(fields.get("mean", list)),
            std=tuple(fields.get("std", list)),
            splits=fields.get("splits", dict),
        )
