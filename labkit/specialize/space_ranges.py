"""What the subnets of a space cost, from the least to the most, here and on every device."""

from __future__ import annotations

from labkit.latency.devices import HOST, MeasuredDevice, device_names, get_device
from labkit.latency.measured.table_files import has_host_table
from labkit.latency.simulated.device_file import VALUE_BYTES, DeviceError
from labkit.space import SearchSpace
from labkit.specialize.device_costs import DeviceCosts
from labkit.tables.costs import activation_table, macs_table, params_table
from labkit.tables.separable import Separable, highest, lowest


def space_ranges(space: SearchSpace) -> dict:
    """Least and most of MACs, parameters, memory (by precision) and of latency on each device.

    Exact. A measured device is left out where it was not measured for this space. `largest_fits`
    and `smallest_fits` say whether the memory of a device holds these archs, None where it is no
    limit.
    """
    devices = []
    for name in device_names():
        device = get_device(name)
        if name == HOST and not has_host_table(space):
            continue
        try:
            costs = DeviceCosts(space, device, progress=False)
        except DeviceError:
            if isinstance(device, MeasuredDevice):
                continue
            raise
        fits = costs.fits([space.largest(), space.smallest()]).tolist()
        limited = device.sram_bytes is not None or device.flash_bytes is not None
        devices.append(
            {
                "name": name,
                "latency_is": device.label,
                "latency_ms": bounds(costs.latency_ms),
                "largest_fits": fits[0] if limited else None,
                "smallest_fits": fits[1] if limited else None,
            }
        )
    memory = {
        precision: bounds(activation_table(space, size)) for precision, size in VALUE_BYTES.items()
    }
    return {
        "macs": bounds(macs_table(space)),
        "params": bounds(params_table(space)),
        "peak_memory_bytes": memory,
        "devices": devices,
    }


def bounds(table: Separable) -> tuple[float, float]:
    """The least and the most that a subnet costs by `table`, exactly."""
    return lowest(table), highest(table)
