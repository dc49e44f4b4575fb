"""What a subnet takes of a device's two memories: working memory (SRAM) and storage (flash)."""

from __future__ import annotations

from labkit.latency.devices import Device
from labkit.latency.simulated.layers import Layer, base_layers, block_layers
from labkit.space import SearchSpace
from labkit.tables.arena import arena_table
from labkit.tables.costs import AdditiveTable, MaxTable, activation_table
from labkit.tables.separable import MaxPlusSum

CHANNEL_BYTES = 16  # int32 bias, float32 scale, int64 zero point
OPERATOR_BYTES = 400  # an operator's entry and its tensors' in the flatbuffer


def sram_table(space: SearchSpace, device: Device) -> MaxTable | MaxPlusSum:
    """Bytes of working memory that a subnet takes, batch 1.

    On a microcontroller (a device with an SRAM limit) that is the interpreter's arena; elsewhere the
    activations that are alive at once, the largest over the operators.
    """
    if device.sram_bytes is None:
        return activation_table(space, device.bytes_per_value)
    return arena_table(space)


def flash_table(space: SearchSpace, device: Device) -> AdditiveTable:
    """Bytes of the stored network, batch norm folded.

    Those are the weights in the device's precision, and what an int8 TFLite file keeps beside them
    for each channel and operator.
    """

    def size(layers: list[Layer]) -> int:
        return sum(
            layer.weights * device.bytes_per_value + layer.channels * CHANNEL_BYTES + OPERATOR_BYTES
            for layer in layers
        )

    return AdditiveTable.build(
        space,
        lambda resolution: size(base_layers(space, resolution)),
        lambda shape, kernel, expand, side: size(
            block_layers(shape, kernel, expand, side, space.stages[shape.stage].se)
        ),
    )
