"""Fit the simulated devices to their published latencies: `python benchmarks/fit_devices.py
[--write]`.

Few references fit several parameters, so each parameter is drawn toward a prior: where the
references say nothing, it stays there. References with another role than 'fit' never take part.
With --write the parameters and the held-out errors go into data/devices/*.json, otherwise they are
printed.
"""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
from scipy.optimize import minimize

from labkit.comparison.published_latencies import check, held_out_error
from labkit.comparison.reference_networks import networks
from labkit.latency.devices import load_simulated
from labkit.latency.simulated.roofline import Roofline
from labkit.storage.atomic_write import write_atomic
from labkit.storage.paths import data_dir

# A parameter off by a factor e costs as much as two references off by 10 % each.
PRIOR_WEIGHT = 0.02
PRIORS = {
    "dense": 0.5,
    "pointwise": 0.5,
    "depthwise": 0.2,
    "overhead_us": 50.0,
    "half_channels": 16.0,
}
GPU_PRIORS = {**PRIORS, "dense": 0.7, "depthwise": 0.1, "overhead_us": 20.0}
CLOCKS = {"stm32h743": 480, "stm32f746": 216, "mcu-64k": 80, "mcu-20k": 72}  # MHz


def fit(name: str, priors: dict[str, float], ties: dict[str, str]) -> dict[str, float]:
    """Parameters of device `name` that fit its references; `ties` sets one parameter equal to
    another.
    """
    device = load_simulated(data_dir() / "devices" / f"{name}.json")
    cases = [(networks(r), r["latency_ms"]) for r in device.references if r["role"] == "fit"]
    free = [key for key in priors if key not in ties]
    start = np.log([priors[key] for key in free])

    def parameters(x: np.ndarray) -> dict[str, float]:
        values = dict(zip(free, np.exp(x).tolist()))
        return {**values, **{key: values[other] for key, other in ties.items()}}

    def loss(x: np.ndarray) -> float:
        roofline = with_parameters(device.roofline, parameters(x))
        errors = [
            np.log(np.median([roofline.latency_ms(layers) for layers in nets]) / ms)
            for nets, ms in cases
        ]
        return float(np.sum(np.square(errors)) + PRIOR_WEIGHT * np.sum((x - start) ** 2))

    return parameters(
        minimize(loss, start, method="Nelder-Mead", options={"maxfev": 4000, "xatol": 1e-4}).x
    )


def with_parameters(roofline: Roofline, values: dict[str, float]) -> Roofline:
    kinds = {key: values[key] for key in ("dense", "pointwise", "depthwise")}
    return dataclasses.replace(
        roofline,
        efficiency=kinds,
        overhead_us=values["overhead_us"],
        half_channels=values["half_channels"],
    )


def fit_runtime_factor(name: str, values: dict[str, float]) -> float:
    """The factor on compute time with which device `name`, otherwise `values`, meets its fit
    references.
    """
    device = load_simulated(data_dir() / "devices" / f"{name}.json")
    cases = [(networks(r), r["latency_ms"]) for r in device.references if r["role"] == "fit"]

    def loss(x: np.ndarray) -> float:
        scaled = {
            **values,
            **{key: values[key] / np.exp(x[0]) for key in ("dense", "pointwise", "depthwise")},
        }
        roofline = with_parameters(device.roofline, scaled)
        return sum(
            np.log(np.median([roofline.latency_ms(layers) for layers in nets]) / ms) ** 2
            for nets, ms in cases
        )

    return float(np.exp(minimize(loss, np.zeros(1), method="Nelder-Mead").x[0]))


def main() -> None:
    fitted = {
        "pi4": fit("pi4", PRIORS, {}),
        "pixel1": fit("pixel1", PRIORS, {}),
        "stm32h743": fit("stm32h743", PRIORS, {}),
        "jetson-nano": fit("jetson-nano", GPU_PRIORS, {"pointwise": "dense"}),
    }
    fitted["pi4-int8"] = {
        **fitted["pi4"],
        "runtime_factor": fit_runtime_factor("pi4-int8", fitted["pi4"]),
    }
    # The M7's rates; a layer's overhead is so many cycles.
    for name in ("stm32f746", "mcu-64k", "mcu-20k"):
        cycles = CLOCKS["stm32h743"] / CLOCKS[name]
        fitted[name] = {
            **fitted["stm32h743"],
            "overhead_us": fitted["stm32h743"]["overhead_us"] * cycles,
        }
    fitted["stm32f746"]["runtime_factor"] = fit_runtime_factor("stm32f746", fitted["stm32f746"])
    for name, values in fitted.items():
        path = data_dir() / "devices" / f"{name}.json"
        value = json.loads(path.read_text())
        for key, number in values.items():
            value["parameters"][key]["value"] = float(f"{number:.3g}")
        if "--write" in sys.argv:
            write_atomic(
                path,
                lambda temporary, v=value: temporary.write_text(json.dumps(v, indent=1) + "\n"),
            )
            error = held_out_error(check(load_simulated(path)))
            value["held_out_error"] = None if error is None else round(error, 3)
            write_atomic(
                path,
                lambda temporary, v=value: temporary.write_text(json.dumps(v, indent=1) + "\n"),
            )
        print(name, {key: parameter["value"] for key, parameter in value["parameters"].items()})


if __name__ == "__main__":
    main()
