"""The machine and the device that torch computes on."""

from __future__ import annotations

import torch

from labkit.runtime.timing import machine_state


def choose_device(name: str | None) -> torch.device:
    """The device "cpu" or "cuda", or for None a GPU if there is one; raises ValueError if it is not
    there.
    """
    if name not in (None, "cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}, known: cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device 'cuda' was asked for, but torch sees no GPU; leave --device out, or install a"
            " torch with CUDA"
        )
    return torch.device("cuda" if torch.cuda.is_available() and name != "cpu" else "cpu")


def machine(device: torch.device | str = "cpu") -> dict[str, object]:
    """What `machine_state` says, the version of torch and its threads, and the GPU if `device` is
    one.
    """
    device = torch.device(device)
    gpu = {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    return {
        **machine_state(),
        **gpu,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
