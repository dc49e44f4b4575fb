"""labkit deploy: a subnet as a file, or a C library, that a target runs."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import (
    arch_option,
    images_option,
    json_option,
    read_arch,
    show,
    supernet_option,
)

CORES = ("cortex-m3", "cortex-m4", "cortex-m7")


@click.command()
@supernet_option
@images_option
@arch_option
@click.option(
    "--to",
    "out",
    type=click.Path(path_type=Path),
    required=True,
    help=(
        "What to write: NAME.onnx, NAME.tflite for a microcontroller's interpreter, or a folder for"
        " a C library (the last two are always int8)."
    ),
)
@click.option(
    "--int8", is_flag=True, help="Also quantize (NAME.int8.onnx), calibrated on training images."
)
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option(
    "--images",
    "count",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help=(
        "Images of the split that a .tflite file or a C library is judged on; the interpreter is"
        " slow."
    ),
)
@click.option(
    "--layout",
    type=click.Choice(["plain", "arduino"]),
    default="plain",
    show_default=True,
    help="How a C library's folder is laid out.",
)
@click.option(
    "--board",
    type=click.Choice([*CORES, "none"]),
    help="Core that a C library is emulated on; cortex-m4 where the tools are installed.",
)
@json_option
def deploy(trained, images, arch, out, int8, split, count, layout, board, as_json) -> None:
    """Extract a subnet, fold its batch norms, export it, verify and measure it here.

    A .tflite file is run by TensorFlow Lite Micro's interpreter, which needs the extra `mcu`. A C
    library needs that, too, and a C compiler: it must compute what the interpreter does, to the
    bit.
    """
    space, arch = trained.space, read_arch(trained.space, arch)
    # Missing packages are reported before the work, not after it; each format needs its own.
    if out.suffix in (".tflite", ""):
        from labkit.deploy.litert.packages import require_packages

        require_packages()
    elif out.suffix == ".onnx":
        from labkit.deploy.onnx.deployment import deploy as deploy_onnx
    else:
        raise ValueError(
            f"cannot deploy to {str(out)!r}; name it like model.onnx, model.tflite or, for C,"
            " firmware/"
        )
    from labkit.supernet.evaluation import Evaluator

    trained = trained.using(images=images)
    supernet, dataset = trained.supernet, trained.dataset
    subnet = supernet.extract(arch, Evaluator(supernet, dataset, "val").recalibrate(arch))
    if out.suffix == ".tflite":
        _to_microcontroller(space, subnet, dataset, out, split, count, as_json)
        return
    if not out.suffix:
        _to_firmware(space, subnet, dataset, out, split, count, layout, board, as_json)
        return
    model = deploy_onnx(space, subnet, dataset, out, int8=int8, split=split)
    lines = [
        (
            f"{model.path} agrees with torch within {model.max_difference:.1e} on"
            f" {model.verified_images} images"
        ),
        (
            f"fp32  {model.accuracy:.2f} % of {split}  {model.latency_ms:.3f} ms here "
            f" {model.file_bytes / 1000:.0f} kB"
        ),
    ]
    if int8:
        lines.append(
            f"int8  {model.int8_accuracy:.2f} % of {split}  {model.int8_latency_ms:.3f} ms here "
            f" {model.int8_file_bytes / 1000:.0f} kB  loses {model.accuracy_drop:.2f} points "
            f" ({model.int8_path})"
        )
    show(model.to_json(), as_json, lines)


def _to_microcontroller(space, subnet, dataset, out, split, images, as_json) -> None:
    from labkit.deploy.litert.deployment import deploy_micro

    model = deploy_micro(
        space, subnet, dataset, out, split=split, images=images, progress=not as_json
    )
    show(
        model.to_json(),
        as_json,
        [
            (
                f"{model.path} runs in TensorFlow Lite Micro, on the first {model.images} images of"
                f" {split}"
            ),
            (
                f"int8   {model.int8_accuracy:.2f} %, loses {model.accuracy_drop:.2f} points to"
                " torch in float32"
            ),
            (
                f"arena  {model.arena_bytes / 1000:.1f} kB: {model.activation_bytes / 1000:.1f}"
                f" activations, {model.persistent_bytes / 1000:.1f} persistent"
                f" ({model.predicted_arena_bytes / 1000:.1f} kB predicted)"
            ),
            f"flash  {model.flash_bytes / 1000:.1f} kB",
            f"fits   {', '.join(model.fits) or 'no microcontroller that labkit knows'}",
        ],
    )


def _to_firmware(space, subnet, dataset, out, split, images, layout, board, as_json) -> None:
    from labkit.firmware.deployment import deploy_firmware
    from labkit.firmware.emulated_board import missing_tools

    if board is None and not missing_tools():
        board = "cortex-m4"
    model = deploy_firmware(
        space,
        subnet,
        dataset,
        out,
        layout=layout,
        board=None if board == "none" else board,
        split=split,
        images=images,
        progress=not as_json,
    )
    lines = [
        (
            f"{model.path} computes what TensorFlow Lite Micro does, to the bit, on the first"
            f" {model.images} images of {split}"
        ),
        (
            f"int8   {model.int8_accuracy:.2f} %, loses {model.accuracy_drop:.2f} points to torch"
            " in float32"
        ),
        (
            f"arena  {model.arena_bytes / 1000:.1f} kB, where the interpreter takes"
            f" {model.interpreter_arena_bytes / 1000:.1f} kB"
        ),
        (
            f"const  {model.constant_bytes / 1000:.1f} kB of weights and tables, where its model"
            f" has {model.interpreter_model_bytes / 1000:.1f} kB"
        ),
    ]
    report = model.board
    if report is None:
        reason = ", ".join(missing_tools())
        lines.append("board  not run" + (f": {reason} not installed" if reason else ""))
    else:
        lines += [
            f"board  {report.core}, emulated ({report.machine}), equal on {report.images} images:",
            (
                f"       flash {report.flash_bytes / 1000:.1f} kB (code"
                f" {report.code_bytes / 1000:.1f}), SRAM {report.sram_bytes / 1000:.1f} kB (stack"
                f" {report.stack_bytes} bytes)"
            ),
            (
                f"       {report.total_instructions / 1e6:.2f} million instructions a picture,"
                f" {report.total_instructions / model.macs:.2f} for a multiply-add:"
            ),
            *(
                f"       {count / report.total_instructions:6.1%}  {count:>10,}  {layer}"
                for layer, count in zip(model.layers, report.instructions)
            ),
        ]
    show(model.to_json(), as_json, lines)
