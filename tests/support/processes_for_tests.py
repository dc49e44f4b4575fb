"""A training run of several processes, started as somebody would from a terminal."""

import os
import subprocess
import sys


def torchrun(device, out, options, *, ranks, **environment):
    """`labkit train` into `out` with these options, by their names in `TrainConfig`."""
    command = f"-m torch.distributed.run --standalone --nproc-per-node {ranks} -m labkit train"
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return subprocess.run(
        [sys.executable, *command.split(), "--device", device, "--out", str(out), *flags],
        capture_output=True,
        text=True,
        timeout=900,  # a machine may be busy; it takes half a minute
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )
