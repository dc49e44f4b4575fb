"""The machine a result was made on, for the records of runs that use torch."""

from __future__ import annotations

import torch

from labkit.latency.harness import machine_state


def machine(device: torch.device | str = "cpu") -> dict[str, object]:
    """What `machine_state` says, the version of torch and its threads, and the GPU if `device` is one."""
    device = torch.device(device)
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {**machine_state(), **gpu, "torch": torch.__version__, "threads": torch.get_num_threads()}
