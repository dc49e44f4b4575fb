"""The machine a result was made on, for the records of runs that use torch."""

from __future__ import annotations

import torch

from labkit.latency.harness import machine_state


def machine() -> dict[str, object]:
    """What `machine_state` says, and the GPU, the version of torch and its threads."""
    gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {**machine_state(), **gpu, "torch": torch.__version__, "threads": torch.get_num_threads()}
