"""Subnets of the official supernets that others specialized or measured, as they published them.

The latencies are those of their devices, the accuracies ImageNet's top-1: after fine-tuning where
`finetuned_epochs` says so, otherwise with the weights that a subnet inherits from its supernet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space, spaces
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, read_json
from labkit.storage.paths import data_dir

SCHEMA = "labkit-published-subnets-1"


class PublishedSubnet(NamedTuple):
    """One published subnet, and what its publishers say about it."""

    name: str
    supernet: str  # the name of its space
    arch: Arch  # its resolution need not be one of the space's
    device: str  # "flops" where MACs were limited instead of latency
    batch: int
    latency_ms: float | None
    top1: float  # percent
    finetuned_epochs: int  # 0: with inherited weights
    source: str

    @property
    def space(self) -> SearchSpace:
        """The space of its supernet at the subnet's resolution, of which it is an arch."""
        return replace(get_space(self.supernet), resolutions=(self.arch.resolution,))


def published_subnets(path: Path | None = None) -> list[PublishedSubnet]:
    """The subnets of data/published/subnets.json, or of another such file.

    Raises LabError that names the file and the field.

    >>> [subnet.latency_ms for subnet in published_subnets() if subnet.device == "note10"]
    [11.0, 16.0, 22.0, 30.0, 41.0, 50.0, 64.0, 8.0]
    """
    path = path or data_dir() / "published" / "subnets.json"
    content = Fields(read_json(path, LabError), path, LabError)
    content.require_schema(SCHEMA)
    sources = content.object("sources")
    return [_subnet(fields, sources) for fields in content.objects("subnets")]


def _subnet(fields: Fields, sources: Fields) -> PublishedSubnet:
    latency = None if fields.value.get("latency_ms") is None else fields.positive("latency_ms")
    fields.choice("space", tuple(spaces))
    try:
        subnet = PublishedSubnet(
            fields.text("name"),
            fields.text("space"),
            Arch.parse(fields.text("arch")),
            fields.text("device"),
            fields.get("batch", int),
            latency,
            fields.positive("top1"),
            fields.get("finetuned_epochs", int),
            sources.text(fields.text("source")),
        )
        subnet.space.validate(subnet.arch)
    except ValueError as error:
        if isinstance(error, LabError):
            raise
        raise LabError(f"{fields.source}: field {fields.prefix}.arch: {error}") from None
    return subnet
