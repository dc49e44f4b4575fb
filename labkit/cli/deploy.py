"""labkit deploy: a subnet as a file, or a C library, that a target runs."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from labkit.cli.options import (
    arch_option,
    images_option,
    json_option,
    read_arch,
    show,
    supernet_option,
)

FLAGS = {"images": "count"}  # options that have another name here


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
        "What to write: NAME.onnx, NAME.tflite (LiteRT), NAME.pte (ExecuTorch), NAME.mlpackage"
        " (Core ML), or a folder for a C library, always int8."
    ),
)
@click.option(
    "--int8",
    is_flag=True,
    help="ONNX: also quantize (NAME.int8.onnx), calibrated on training images.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "int8"]),
    help="For LiteRT (default int8) and for Core ML (float32 or float16, the default).",
)
@click.option("--split", type=click.Choice(["val", "test"]), default="test", show_default=True)
@click.option(
    "--images",
    "count",
    type=click.IntRange(1, 10**6),
    default=2000,
    show_default=True,
    help="Images of the split that all but ONNX are judged on; some interpreters are slow.",
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
    help=(
        "Where a C library is emulated: cortex-m3, -m4 or -m7, a device whose engine is firmware,"
        " such as mcu-20k, whose memory has to hold it, or none. cortex-m4 where the tools are"
        " installed and the library fits its emulator."
    ),
)
@json_option
@click.pass_context
def deploy(context, trained, images, arch, out, split, as_json, **values) -> None:
    """Extract a subnet, fold its batch norms, export it, verify and measure it here.

    LiteRT needs the extra `mcu`: an int8 .tflite file is also run by the interpreter that
    microcontrollers use. A C library needs that as well, and a C compiler: its results must match
    the interpreter's bit for bit. ExecuTorch and Core ML need the extra `phone`; Core ML models
    can be verified on macOS only. Every file, and a JSON file beside it, says how to feed it;
    `labkit run` classifies images with it.
    """
    from labkit.formats.table import format_of

    form, values["images"] = format_of(out), values.pop("count")
    values["progress"] = not as_json
    for name in values.keys() - form.options - {"progress"}:
        source = context.get_parameter_source(FLAGS.get(name, name))
        if source is ParameterSource.COMMANDLINE:
            raise ValueError(f"{form.name} has no option --{name}; leave it out")
    options = {name: values[name] for name in form.options if values[name] is not None}
    space, arch = trained.space, read_arch(trained.space, arch)
    form.module.require_packages()  # what is missing is reported before the work, not after it
    from labkit.storage.provenance import sha256
    from labkit.supernet.evaluation import Evaluator

    trained = trained.using(images=images)
    supernet, dataset = trained.supernet, trained.dataset
    subnet = supernet.extract(arch, Evaluator(supernet, dataset, "val").recalibrate(arch))
    model = form.module.deploy(
        space,
        subnet,
        dataset,
        out,
        split=split,
        supernet=sha256(trained.weights_path),
        **options,
    )
    show(model.to_json(), as_json, model.lines())
