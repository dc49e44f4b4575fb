"""A device as a roofline by operator kind: simulated latency of networks and of whole spaces.

An operator takes the longest of three times, those of its arithmetic, of its memory traffic and of
launching it (on a GPU, which is told of it while another runs), plus a fixed overhead if it has
weights; a network takes what its operators take and a fixed time more:

    seconds = overhead + max(work / (peak * efficiency[kind] * fill), bytes / bandwidth, launch)

    fill = length / (length + half_channels)

where `length` is the smaller one of a matrix product's inner length and its columns, which are
in_channels * kernel^2 and out_channels of a dense, pointwise or linear layer: a narrow layer leaves
vector lanes and register tiles empty, and reaches half its rate at `half_channels`. The work of an
operator is its MACs; a pooling adds up its windows at the rate of a depthwise convolution.
Operators are taken as a runtime executes them: batch norm and activation are part of the
convolution before them, and biases do not count.
Source of the roofline: Williams, Waterman and Patterson, CACM 52(4), 2009, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from labkit.space import SearchSpace
from labkit.space.operators import Operator
from labkit.tables.costs import AdditiveTable

RATE_KINDS = {  # kind of operator -> kind whose efficiency it has
    "dense": "dense",
    "pointwise": "pointwise",
    "linear": "pointwise",  # a pointwise convolution on a single pixel
    "depthwise": "depthwise",
    "pool": "depthwise",  # adds up windows of a channel
}


def values_moved(operator: Operator) -> int:
    """Values that cross the memory bus at least once."""
    return operator.inputs + operator.outputs + operator.weights


def work(operator: Operator) -> int:
    """Its MACs, or the additions of a pooling."""
    pooled = operator.kernel**2 * operator.outputs if operator.kind == "pool" else 0
    return operator.macs or pooled


@dataclass(frozen=True)
class Roofline:
    """Rates of one device with one runtime and precision."""

    peak_gmacs: float  # 10^9 MACs a second, all threads in use
    bandwidth_gb: float  # 10^9 bytes a second
    overhead_us: float  # microseconds for each operator with weights
    efficiency: Mapping[str, float]  # share of the peak that each kind with MACs reaches
    half_channels: float = 0.0
    bytes_per_value: int = 4
    launch_us: float = 0.0  # microseconds that no operator is faster than
    start_us: float = 0.0  # microseconds for each network

    def operator_us(self, operator: Operator) -> float:
        """Simulated microseconds of one operator."""
        memory = values_moved(operator) * self.bytes_per_value / self.bandwidth_gb / 1e3
        computes = operator.kind in RATE_KINDS
        compute = work(operator) / self.rate_gmacs(operator) / 1e3 if computes else 0.0
        overhead = self.overhead_us if operator.weights else 0.0
        return overhead + max(compute, memory, self.launch_us)

    def rate_gmacs(self, operator: Operator) -> float:
        """10^9 MACs a second of an operator that computes, were its values at hand."""
        kind = RATE_KINDS[operator.kind]
        rate = self.peak_gmacs * self.efficiency[kind]
        if kind == "depthwise":
            return rate
        length = min(operator.in_channels * operator.kernel**2, operator.out_channels)
        return rate * length / (length + self.half_channels)

    def latency_ms(self, operators: Iterable[Operator]) -> float:
        """Simulated milliseconds of a network, its operators one after another."""
        return (self.start_us + sum(map(self.operator_us, operators))) / 1e3

    def table(self, space: SearchSpace) -> AdditiveTable:
        """Simulated milliseconds of every block of `space`."""
        of_operators = replace(self, start_us=0.0).latency_ms
        return AdditiveTable.of_operators(space, of_operators).scaled(1, self.start_us / 1e3)
