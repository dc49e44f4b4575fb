"""Commands about devices: list and check them, deploy a subnet."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.common import json_option, read_arch, show, space_option


@click.command()
@click.option("--check", is_flag=True, help="Compare simulated devices with published latencies.")
@json_option
def devices(check, as_json) -> None:
    """List the devices: this machine, simulated ones, and boards whose latency was imported."""
    from labkit.latency.devices import device_names, get_device

    listed = [get_device(name) for name in device_names()]
    rows = [
        {
            "name": d.name,
            "title": d.title,
            "latency_is": d.label,
            "precision": d.precision,
            "sram_bytes": d.sram_bytes,
            "flash_bytes": d.flash_bytes,
        }
        for d in listed
    ]
    lines = [f"{'name':<14} {'latency is':<32} {'precision':<9} {'SRAM':>8} {'flash':>8}  device"]
    for row in rows:
        sram, flash = (
            f"{row[key] / 1000:.0f} kB" if row[key] else "-"
            for key in ("sram_bytes", "flash_bytes")
        )
        lines.append(
            f"{row['name']:<14} {row['latency_is']:<32} {row['precision']:<9} {sram:>8} {flash:>8} "
            f" {row['title']}"
        )
    if check:
        from labkit.cli.latency_text import published_text
        from labkit.latency import published_latencies as published

        for device, row in zip(listed, rows):
            if device.kind != "simulated":
                continue
            checked = published.check(device)
            row["references"] = [reference._asdict() for reference in checked]
            row["held_out_error"] = published.held_out_error(checked)
            lines += ["", published_text(device, checked)]
    show({"devices": rows}, as_json, lines)


@click.command()
@space_option
@click.option(
    "--arch", required=True, help="largest, smallest, a file with an arch, or its JSON text."
)
@click.option(
    "--to",
    "out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File to write: NAME.onnx, or NAME.tflite for a microcontroller (always int8).",
)
@click.option(
    "--int8", is_flag=True, help="Also quantize (NAME.int8.onnx), calibrated on training images."
)
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Images of the split that a .tflite file is judged on; its interpreter is slow.",
)
@json_option
def deploy(space, arch, out, int8, split, images, as_json) -> None:
    """Extract a subnet, fold its batch norms, export it, verify and measure it here.

    A .tflite file is run by TensorFlow Lite Micro's interpreter, which needs the extra `mcu`.
    """
    chosen = read_arch(space, arch)
    if out.suffix == ".tflite":  # what is missing is said before the work, not after it
        from labkit.deploy.litert.packages import require_packages

        require_packages()
    elif out.suffix == ".onnx":
        from labkit.deploy.onnx.deployment import (
            deploy as run,  # needs onnx, which a .tflite file does not
        )
    else:
        raise ValueError(f"cannot deploy to {str(out)!r}; name it like model.onnx or model.tflite")
    from labkit.data import datasets as data
    from labkit.supernet import weights_file as pretrained
    from labkit.supernet.artifacts import supernet_path
    from labkit.supernet.evaluation import Evaluator

    supernet, record = pretrained.load(supernet_path(space.name))
    dataset = data.load(pretrained.dataset_of(supernet_path(space.name), record))
    subnet = supernet.extract(chosen, Evaluator(supernet, dataset, "val").recalibrate(chosen))
    if out.suffix == ".tflite":
        _to_microcontroller(space, subnet, dataset, out, split, images, as_json)
        return
    done = run(space, subnet, dataset, out, int8=int8, split=split)
    lines = [
        (
            f"{done.path} agrees with torch within {done.max_difference:.1e} on"
            f" {done.verified_images} images"
        ),
        (
            f"fp32  {done.accuracy:.2f} % of {split}  {done.latency_ms:.3f} ms here "
            f" {done.file_bytes / 1000:.0f} kB"
        ),
    ]
    if int8:
        lines.append(
            f"int8  {done.int8_accuracy:.2f} % of {split}  {done.int8_latency_ms:.3f} ms here "
            f" {done.int8_file_bytes / 1000:.0f} kB  loses {done.accuracy_drop:.2f} points "
            f" ({done.int8_path})"
        )
    show(done.to_json(), as_json, lines)


def _to_microcontroller(space, subnet, dataset, out, split, images, as_json) -> None:
    from labkit.deploy.litert.deployment import deploy_micro

    done = deploy_micro(
        space, subnet, dataset, out, split=split, images=images, progress=not as_json
    )
    show(
        done.to_json(),
        as_json,
        [
            (
                f"{done.path} runs in TensorFlow Lite Micro, on the first {done.images} images of"
                f" {split}"
            ),
            (
                f"int8   {done.int8_accuracy:.2f} %, loses {done.accuracy_drop:.2f} points to torch"
                " in float32"
            ),
            (
                f"arena  {done.arena_bytes / 1000:.1f} kB: {done.activation_bytes / 1000:.1f}"
                f" activations, {done.persistent_bytes / 1000:.1f} persistent"
                f" ({done.predicted_arena_bytes / 1000:.1f} kB predicted)"
            ),
            f"flash  {done.flash_bytes / 1000:.1f} kB",
            f"fits   {', '.join(done.fits) or 'no microcontroller that labkit knows'}",
        ],
    )
