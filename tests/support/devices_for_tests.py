"""The simulated devices that ship."""

from __future__ import annotations

from labkit.latency.devices import SimulatedDevice, get_device

MICROCONTROLLERS = (
    "g0b1re-bosch",
    "h7a3zi-bosch",
    "h7a3zi-cube-ai",
    "l4r5zi-bosch",
    "l4r5zi-cmsis-nn",
    "l4r5zi-cube-ai",
    "mcu-20k",
    "mcu-64k",
    "nrf5340-cmsis-nn",
    "stm32f746",
    "stm32f746-bosch",
    "stm32f746-tinyengine",
    "stm32h743",
    "u575zi-bosch",
)
SIMULATED = (
    "jetson-nano",
    "note10-class",
    "pi4",
    "pi4-int8",
    "pi4-xnnpack",
    "pixel1",
    *MICROCONTROLLERS,
)


def devices() -> list[SimulatedDevice]:
    return [get_device(name) for name in SIMULATED]
