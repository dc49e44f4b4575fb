"""The command line. Commands parse, call one function of the package, and print.

With --json a command prints one JSON object on standard output and nothing else there; progress goes to
standard error. Errors of use are one line and exit code 2. Imports sit inside the commands: torch takes
seconds to import, and a search does not need it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from labkit import __version__
from labkit.errors import LabError
from labkit.space import Arch, SearchSpace
from labkit.spaces import get_space, spaces


class _Space(click.ParamType):
    name = "space"

    def convert(self, value, param, ctx) -> SearchSpace:
        try:
            return value if isinstance(value, SearchSpace) else get_space(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Device(click.ParamType):
    name = "device"

    def convert(self, value, param, ctx):
        from labkit.latency.devices import get_device

        return get_device(value) if isinstance(value, str) else value


def read_arch(space: SearchSpace, text: str) -> Arch:
    """`largest`, `smallest`, JSON text, or a file that holds an arch (or an object with an "arch" field)."""
    if text in ("largest", "smallest"):
        return getattr(space, text)()
    if not text.lstrip().startswith("{"):
        path = Path(text)
        if not path.is_file():
            raise ValueError(f"arch {text!r} is neither 'largest', 'smallest', JSON nor a file that is there")
        text = path.read_text(encoding="utf-8")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"arch is not valid JSON: {error}") from None
    if isinstance(value, dict) and "arch" in value:
        value = value["arch"]
    arch = Arch.from_json(value)
    space.validate(arch)
    return arch


def show(result: dict, as_json: bool, lines: list[str]) -> None:
    click.echo(json.dumps(result, allow_nan=False) if as_json else "\n".join(lines))


space_option = click.option("--space", type=_Space(), default="fmnist", show_default=True,
                            help=f"Search space: {', '.join(spaces)}.")
device_option = click.option("--device", type=_Device(), default="host", show_default=True,
                             help="Device to find a subnet for; `labkit devices` lists them.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
                           help="Same seed, same result.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="labkit")
def cli() -> None:
    """The Once-for-All lab: train one supernet, then give every device its own subnet."""


@cli.command()
@space_option
@device_option
@click.option("--max-latency-ms", type=float, help="Latency limit in milliseconds.")
@click.option("--max-macs", type=float, help="Limit on multiply-adds, in millions.")
@click.option("--max-params", type=float, help="Limit on parameters, in thousands.")
@click.option("--max-sram", type=float, help="Limit on activation memory, in kB; a microcontroller's own limit "
                                             "holds anyway.")
@click.option("--max-flash", type=float, help="Limit on stored weights, in kB; likewise.")
@click.option("--method", type=click.Choice(["evolution", "exact", "random"]), default="evolution", show_default=True)
@click.option("--population", type=click.IntRange(min=4), default=100, show_default=True)
@click.option("--generations", type=click.IntRange(min=1), default=500, show_default=True)
@seed_option
@json_option
def search(space, device, max_latency_ms, max_macs, max_params, max_sram, max_flash, method, population,
           generations, seed, as_json) -> None:
    """Find the most accurate subnet that meets your limits on a device.

    Accuracy is predicted, latency comes from the device's lookup table. The answer says how far it is
    from the best arch that exists, which is computed exactly.
    """
    from labkit import specialise

    def scaled(value, unit):
        return None if value is None else value * unit

    costs = specialise.Costs(space, device)
    model = specialise.accuracy_model(space)
    budgets = costs.budgets(latency_ms=max_latency_ms, macs=scaled(max_macs, 1e6), params=scaled(max_params, 1e3),
                            sram_bytes=scaled(max_sram, 1000), flash_bytes=scaled(max_flash, 1000))
    found = specialise.search(space, model.predict, budgets, method=method, seed=seed, population=population,
                              generations=generations)
    optimum = specialise.search(space, model.predict, budgets, method="exact")
    result = {"space": space.name, "device": device.name, "latency_is": device.label, "method": method, "seed": seed,
              "limits": {budget.name: budget.limit for budget in budgets}, "arch": found.arch.to_json(),
              "predicted_accuracy": found.accuracy, "predictor": model.label, "predictor_rmse": model.rmse,
              "gap_to_optimum": optimum.accuracy - found.accuracy, **costs.of(found.arch)}
    show(result, as_json, [
        f"subnet      {found.arch}",
        f"accuracy    {found.accuracy:.2f} % predicted ({model.label}"
        + (f"; error {model.rmse:.2f} points RMSE)" if model.rmse is not None else ")"),
        f"            {result['gap_to_optimum']:.3f} points below the exact optimum",
        f"latency     {result['latency_ms']:.4g} ms on {device.title} ({device.label})",
        f"MACs        {result['macs'] / 1e6:.2f}M     parameters {result['params'] / 1e3:.0f}k",
        f"memory      {result['peak_memory_bytes'] / 1000:.1f} kB peak activations ({device.precision})"])


@cli.command()
@space_option
@device_option
@click.option("--picture", type=click.Path(path_type=Path),
              help="Draw the front here (PNG, SVG or PDF), with what evolution and random search find.")
@seed_option
@json_option
def pareto(space, device, picture, seed, as_json) -> None:
    """Print the exact Pareto front: every subnet that no other beats in both accuracy and latency.

    A microcontroller's SRAM limit holds on the whole front; its flash limit does not, since it adds up
    over the network (`labkit search --method exact` applies both).
    """
    from labkit import specialise
    from labkit.search import front

    costs = specialise.Costs(space, device)
    model = specialise.accuracy_model(space)
    whole = front(space, model.predict, costs.latency_ms, costs.memory_caps())
    if picture:
        specialise.draw_front(picture, costs, model, whole, seed)
    points = [{"latency_ms": cost, "predicted_accuracy": accuracy, "arch": arch.to_json()}
              for cost, accuracy, arch in zip(whole.cost.tolist(), whole.accuracy.tolist(), space.decode(whole.genes))]
    shown = points[::max(1, len(points) // 20)]
    show({"space": space.name, "device": device.name, "latency_is": device.label, "predictor": model.label,
          "predictor_rmse": model.rmse, "points": points}, as_json,
         [f"{len(points)} subnets on the front of {space.name} on {device.title} ({device.label}); every "
          f"{max(1, len(points) // 20)}th:"]
         + [f"{point['latency_ms']:10.4g} ms {point['predicted_accuracy']:7.2f} %  {Arch.from_json(point['arch'])}"
            for point in shown])


@cli.command()
@click.option("--check", is_flag=True, help="Compare simulated devices with published latencies.")
@json_option
def devices(check, as_json) -> None:
    """List the devices: this machine, simulated ones, and boards whose latency was imported."""
    from labkit.latency.devices import check as check_device
    from labkit.latency.devices import device_names, get_device

    listed = [get_device(name) for name in device_names()]
    rows = [{"name": d.name, "title": d.title, "latency_is": d.label, "precision": d.precision,
             "sram_bytes": d.sram_bytes, "flash_bytes": d.flash_bytes} for d in listed]
    lines = [f"{'name':<14} {'latency is':<32} {'precision':<9} {'SRAM':>8} {'flash':>8}  device"]
    for row in rows:
        sram, flash = (f"{row[key] / 1000:.0f} kB" if row[key] else "-" for key in ("sram_bytes", "flash_bytes"))
        lines.append(f"{row['name']:<14} {row['latency_is']:<32} {row['precision']:<9} {sram:>8} {flash:>8}  "
                     f"{row['title']}")
    if check:
        for device, row in zip(listed, rows):
            if device.kind != "simulated":
                continue
            checked = check_device(device)
            row["references"] = [reference._asdict() for reference in checked]
            lines += ["", f"{device.name}: {device.label}"]
            for reference in row["references"]:
                lines.append("  " + "  ".join(f"{key} {_short(value)}" for key, value in reference.items()))
    show({"devices": rows}, as_json, lines)


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@cli.command()
@space_option
@click.option("--arch", required=True, help="largest, smallest, a file with an arch, or its JSON text.")
@click.option("--split", type=click.Choice(["val", "test", "val-search"]), default="val", show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), help="Supernet weights; the ones that ship by default.")
@json_option
def evaluate(space, arch, split, weights, as_json) -> None:
    """Measure the accuracy of one subnet of a supernet, after BN recalibration."""
    chosen = read_arch(space, arch)
    from labkit import data, pretrained
    from labkit.artifacts import supernet_path
    from labkit.evaluate import Evaluator

    path = weights or supernet_path(space.name)
    supernet, record = pretrained.load(path)
    if supernet.space != space:
        raise ValueError(f"{path} holds a supernet of space {supernet.space.name!r}, not {space.name!r}")
    accuracy = Evaluator(supernet, data.load(record["config"]["dataset"]), split).accuracy(chosen)
    show({"space": space.name, "arch": chosen.to_json(), "split": split, "accuracy": accuracy,
          "weights": str(path)}, as_json, [f"{accuracy:.2f} % of {split} images right: {chosen}"])


@cli.command()
@space_option
@click.option("--recipe", default="sandwich", show_default=True,
              help="sandwich (in-place distillation), sandwich-labels, single-path.")
@click.option("--epochs", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--steps-per-epoch", type=click.IntRange(min=1), help="Shorten epochs to this many steps.")
@click.option("--batch", type=click.IntRange(min=2), default=128, show_default=True)
@click.option("--learning-rate", type=float, default=0.25, show_default=True, help="At its peak.")
@click.option("--dataset", type=click.Choice(["fashion-mnist", "cifar10"]), default="fashion-mnist", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for checkpoint, curve and weights.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads; all cores by default.")
@seed_option
def train(space, recipe, epochs, steps_per_epoch, batch, learning_rate, dataset, out, resume, threads, seed) -> None:
    """Train a supernet.

    A first run that takes about three minutes on two cores, and shows that subnets work:

        labkit train --out runs/first --epochs 3 --steps-per-epoch 150

    An interrupted run goes on with the same options and --resume.
    """
    import torch

    from labkit.train import TrainConfig
    from labkit.train import train as run

    config = TrainConfig(space=space.name, dataset=dataset, recipe=recipe, epochs=epochs,
                         steps_per_epoch=steps_per_epoch, batch=batch, learning_rate=learning_rate, seed=seed)
    if threads:
        torch.set_num_threads(threads)
    run(config, out, resume=resume)
    click.echo(f"weights are in {out / 'supernet.safetensors'}")


@cli.command()
@space_option
@click.option("--devices", default="host,pi4,stm32h743,mcu-64k", show_default=True, help="Names, with commas between.")
@click.option("--out", type=click.Path(path_type=Path), default="results", show_default=True)
@seed_option
@json_option
def demo(space, devices, out, seed, as_json) -> None:
    """From the pretrained supernet to a subnet for each device at three budgets, evaluated and measured."""
    from labkit.demo import as_text
    from labkit.demo import demo as run

    rows = run(space, out, devices.split(","), seed)
    text = [as_text(rows), f"written to {out}: demo.csv, demo.json, pareto.png"]
    show({"rows": json.loads((out / "demo.json").read_text())}, as_json, text)


def main() -> None:
    """Entry point: one line and exit code 2 for what the user can mend."""
    try:
        code = cli(standalone_mode=False)
    except click.ClickException as error:
        code = _fail(error.format_message())
    except (LabError, ValueError, FileExistsError, PermissionError) as error:
        code = _fail(str(error))
    except click.Abort:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    click.echo(f"labkit: {' '.join(message.split())}", err=True)
    return 2


if __name__ == "__main__":
    main()
