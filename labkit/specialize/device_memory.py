"""What a subnet takes of a device's two memories: working memory (SRAM) and storage (flash)."""

from __future__ import annotations

from collections.abc import Sequence

from labkit.firmware.memory import firmware_arena, firmware_flash
from labkit.latency.devices import Device
from labkit.space import SearchSpace
from labkit.space.operators import Operator
from labkit.tables.arena import arena_table
from labkit.tables.costs import AdditiveTable, MaxTable, activation_table
from labkit.tables.separable import MaxPlusSum

CHANNEL_BYTES = 16  # int32 bias, float32 scale, int64 zero point
OPERATOR_BYTES = 400  # an operator's entry and its tensors' in the flatbuffer


def sram_table(space: SearchSpace, device: Device) -> MaxTable | MaxPlusSum:
    """Bytes of working memory that a subnet takes, batch 1.

    On a microcontroller that is the arena of its engine, of firmware with the stack; elsewhere the
    activations that are alive at once, the largest over the operators.
    """
    if device.engine == "firmware":
        return firmware_arena(space, device.core)
    if device.engine == "tflm":
        return arena_table(space)
    return activation_table(space, device.bytes_per_value)


def flash_table(space: SearchSpace, device: Device) -> AdditiveTable:
    """Bytes of the stored network, batch norm folded.

    Of firmware those are code, tables and weights; else the weights in the device's precision, and
    what an int8 TFLite file keeps beside them for each channel and operator.

    >>> from labkit.latency.devices import get_device
    >>> from labkit.space.presets import FMNIST
    >>> device = get_device("mcu-64k")
    >>> genes = FMNIST.encode([FMNIST.smallest(), FMNIST.largest()])
    >>> flash_table(FMNIST, device)(genes) <= device.flash_bytes
    array([ True, False])
    """
    if device.engine == "firmware":
        return firmware_flash(space, device.core)

    def size(operators: Sequence[Operator]) -> int:
        weights = sum(operator.weights for operator in operators) * device.bytes_per_value
        channels = sum(operator.filters for operator in operators) * CHANNEL_BYTES
        return weights + channels + len(operators) * OPERATOR_BYTES

    return AdditiveTable.of_operators(space, size)
