"""The simulated devices that ship."""

from __future__ import annotations

from labkit.latency.devices import SimulatedDevice, get_device

SIMULATED = (
    "jetson-nano",
    "mcu-20k",
    "mcu-64k",
    "pi4",
    "pi4-int8",
    "pixel1",
    "stm32f746",
    "stm32h743",
)
MICROCONTROLLERS = ("mcu-20k", "mcu-64k", "stm32f746", "stm32h743")


def devices() -> list[SimulatedDevice]:
    return [get_device(name) for name in SIMULATED]
