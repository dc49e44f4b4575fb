"""What a trained supernet records of its data set: enough to use its weights on other images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from labkit.space.stage import LARGEST
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields

FITS = ("crop", "stretch")


class DataError(LabError):
    """Images are missing, damaged or no data set; the message says the way out."""


class ImageForm(NamedTuple):
    """How pictures of any size and mode become arrays of one.

    `fit` says what happens to their shape: "crop" resizes the shorter side to `side` pixels and
    takes the square in the middle, "stretch" resizes both. With one channel they become gray.
    """

    channels: int = 3
    side: int = 64
    fit: str = "crop"

    @classmethod
    def from_fields(cls, fields: Fields) -> ImageForm:
        side = fields.get("side", int)
        if not 1 <= side <= LARGEST:
            fields.fail("side", f"1 to {LARGEST:,} pixels")
        channels = fields.get("channels", int)
        if channels not in (1, 3):
            fields.fail("channels", "1 or 3")
        return cls(channels, side, fields.choice("fit", FITS))


class DatasetRecord(NamedTuple):
    """Name, classes and numbers of a data set; no images, and nothing that needs torch."""

    name: str
    classes: tuple[str, ...]
    channels: int
    mean: tuple[float, ...]  # of each channel, for pixels in [0, 1]
    std: tuple[float, ...]
    splits: Mapping[str, int]  # images of each split
    form: ImageForm | None = None  # how its pictures were resized; None: they are of one size
    content: str | None = None  # SHA-256 of the images of each split, where they come from a folder

    def to_json(self) -> dict:
        """Without what a data set of one size, known by its name, has no need of."""
        value = {name: part for name, part in self._asdict().items() if part is not None}
        return value if self.form is None else {**value, "form": self.form._asdict()}

    @classmethod
    def from_json(cls, value: object, source: object, error: type[LabError]) -> DatasetRecord:
        """Read what `to_json` gives; raises `error`, which names `source` and the field."""
        fields = Fields(value, source, error, prefix="dataset")
        name, splits = fields.text("name"), fields.object("splits")
        return cls(
            name=name,
            classes=tuple(fields.get("classes", list)),
            channels=fields.get("channels", int),
            mean=tuple(fields.get("mean", list)),
            std=tuple(fields.get("std", list)),
            splits={name: splits.get(name, int) for name in splits.value},
            form=ImageForm.from_fields(fields.object("form")) if "form" in fields else None,
            content=fields.text("content") if "content" in fields else None,
        )
