"""A device as a roofline by operator kind: simulated latency of networks and of whole spaces.

An operator takes the longer of two times, that of its arithmetic and that of its memory traffic,
plus a fixed overhead for starting it:

    seconds = overhead + max(MACs / (peak * efficiency[kind] * fill), bytes / bandwidth)

    fill = channels / (channels + half_channels)

where `channels` is the smaller of a dense or pointwise layer's input and output channels: a narrow
layer leaves vector lanes and register tiles empty, and reaches half its rate at `half_channels`.
Operators are taken as a runtime executes them: batch norm and activation are part of the
convolution before them, and biases do not count.
Source of the roofline: Williams, Waterman and Patterson, CACM 52(4), 2009, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.space import SearchSpace
from labkit.space.operators import Operator
from labkit.tables.costs import AdditiveTable


def rate_kind(operator: Operator) -> str:
    """The kind whose efficiency it has: a linear layer is a pointwise one on a single pixel."""
    return "pointwise" if operator.kind == "linear" else operator.kind


def values_moved(operator: Operator) -> int:
    """Values that cross the memory bus at least once."""
    return operator.inputs + operator.outputs + operator.weights


@dataclass(frozen=True)
class Roofline:
    """Rates of one device with one runtime and precision."""

    peak_gmacs: float  # 10^9 MACs a second, all threads in use
    bandwidth_gb: float  # 10^9 bytes a second
    overhead_us: float  # microseconds for each operator
    efficiency: Mapping[str, float]  # share of the peak that each kind with MACs reaches
    half_channels: float = 0.0
    bytes_per_value: int = 4

    def operator_us(self, operator: Operator) -> float:
        """Simulated microseconds of one operator."""
        memory = values_moved(operator) * self.bytes_per_value / self.bandwidth_gb / 1e3
        compute = 0.0
        if operator.macs:
            kind, narrow = rate_kind(operator), min(operator.in_channels, operator.out_channels)
            fill = 1.0 if kind == "depthwise" else narrow / (narrow + self.half_channels)
            compute = operator.macs / (self.peak_gmacs * self.efficiency[kind] * fill) / 1e3
        return self.overhead_us + max(compute, memory)

    def latency_ms(self, operators: Iterable[Operator]) -> float:
        """Simulated milliseconds of a network, its operators one after another."""
        return sum(map(self.operator_us, operators)) / 1e3

    def table(self, space: SearchSpace) -> AdditiveTable:
        """Simulated milliseconds of every block of `space`."""
        return AdditiveTable.of_operators(space, self.latency_ms)
