"""A device as a roofline by operator kind: simulated latency of layers, archs and whole spaces.

A layer takes the longer of two times, that of its arithmetic and that of its memory traffic, plus a
fixed overhead for starting it:

    seconds = overhead + max(MACs / (peak * efficiency[kind] * fill), bytes / bandwidth)

    fill = channels / (channels + half_channels)

where `channels` is the smaller of a dense or pointwise layer's input and output channels: a narrow
layer leaves vector lanes and register tiles empty, and reaches half its rate at `half_channels`.
Source of the roofline: Williams, Waterman and Patterson, CACM 52(4), 2009, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.latency.simulated.layers import Layer, base_layers, block_layers
from labkit.space import SearchSpace
from labkit.tables.costs import AdditiveTable


@dataclass(frozen=True)
class Roofline:
    """Rates of one device with one runtime and precision."""

    peak_gmacs: float  # 10^9 MACs a second, all threads in use
    bandwidth_gb: float  # 10^9 bytes a second
    overhead_us: float  # microseconds for each layer
    efficiency: Mapping[str, float]  # share of the peak that each kind with MACs reaches
    half_channels: float = 0.0
    bytes_per_value: int = 4

    def layer_us(self, layer: Layer) -> float:
        """Simulated microseconds of one layer."""
        memory = layer.values * self.bytes_per_value / self.bandwidth_gb / 1e3
        compute = 0.0
        if layer.macs:
            narrow = min(layer.channels, layer.fan_in)
            fill = 1.0 if layer.kind == "depthwise" else narrow / (narrow + self.half_channels)
            compute = layer.macs / (self.peak_gmacs * self.efficiency[layer.kind] * fill) / 1e3
        return self.overhead_us + max(compute, memory)

    def latency_ms(self, layers: Iterable[Layer]) -> float:
        """Simulated milliseconds of a network, its layers one after another."""
        return sum(map(self.layer_us, layers)) / 1e3

    def table(self, space: SearchSpace) -> AdditiveTable:
        """Simulated milliseconds of every block of `space`."""
        return AdditiveTable.build(
            space,
            lambda resolution: self.latency_ms(base_layers(space, resolution)),
            lambda shape, kernel, expand, side: self.latency_ms(
                block_layers(shape, kernel, expand, side, space.stages[shape.stage].se)
            ),
        )
