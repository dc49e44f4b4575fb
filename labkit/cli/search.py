"""Commands that choose subnets: search, pareto, demo, cost."""

from __future__ import annotations

import json
from pathlib import Path

import click

from labkit.cli.common import (
    device_option,
    json_option,
    picture_option,
    seed_option,
    show,
    space_option,
)
from labkit.space import Arch

# The option that sets a budget, how many of the budget's own units one of the option's is, and what
# that is called.
OPTIONS = {
    "latency": ("--max-latency-ms", 1.0, "ms"),
    "MACs": ("--max-macs", 1e6, "million"),
    "parameters": ("--max-params", 1e3, "thousand"),
    "SRAM": ("--max-sram", 1e3, "kB"),
    "flash": ("--max-flash", 1e3, "kB"),
}


@click.command()
@space_option
@device_option("Device to find a subnet for")
@click.option(
    "--max-latency-ms", type=click.FloatRange(min=0), help="Latency limit in milliseconds."
)
@click.option(
    "--max-macs", type=click.FloatRange(min=0), help="Limit on multiply-adds, in millions."
)
@click.option(
    "--max-params", type=click.FloatRange(min=0), help="Limit on parameters, in thousands."
)
@click.option(
    "--max-sram",
    type=click.FloatRange(min=0),
    help=(
        "Limit on memory, in kB: activations, on a microcontroller all that the interpreter takes."
        " Its own limit holds anyway."
    ),
)
@click.option(
    "--max-flash", type=click.FloatRange(min=0), help="Limit on stored weights, in kB; likewise."
)
@click.option(
    "--latency",
    type=click.Choice(["table", "regression"]),
    default="table",
    show_default=True,
    help=(
        "Predict latency from the block table, or by regression on whole subnets (measured"
        " devices)."
    ),
)
@click.option(
    "--method",
    type=click.Choice(["evolution", "exact", "random"]),
    default="evolution",
    show_default=True,
)
@click.option("--population", type=click.IntRange(min=4), default=100, show_default=True)
@click.option("--generations", type=click.IntRange(min=1), default=500, show_default=True)
@seed_option
@json_option
def search(
    space,
    device,
    max_latency_ms,
    max_macs,
    max_params,
    max_sram,
    max_flash,
    latency,
    method,
    population,
    generations,
    seed,
    as_json,
) -> None:
    """Find the most accurate subnet that meets your limits on a device.

    Accuracy is predicted, and so is latency, from the device's lookup table or by regression. The
    answer says how far it is from the best arch that exists, which is computed exactly.
    """
    from labkit.search import InfeasibleBudget
    from labkit.specialize import device_search as specialize
    from labkit.tables.separable import highest

    def scaled(
        value, unit
    ):  # to whole thousandths: 64.746 * 1e3 is a hair below the 64746 that is meant
        return None if value is None else round(value * unit, 3)

    costs = specialize.Costs(space, device, latency=latency)
    model = specialize.accuracy_model(space)
    budgets = costs.budgets(
        latency_ms=max_latency_ms,
        macs=scaled(max_macs, 1e6),
        params=scaled(max_params, 1e3),
        sram_bytes=scaled(max_sram, 1000),
        flash_bytes=scaled(max_flash, 1000),
    )
    for budget in budgets:
        if budget.name in OPTIONS and budget.limit >= (
            most := highest(budget.cost)
        ):  # perhaps in another unit
            option, unit, called = OPTIONS[budget.name]
            click.echo(
                f"labkit: {option} {budget.limit / unit:.9g} excludes no subnet; none needs more"
                f" than {most / unit:.6g} {called}",
                err=True,
            )
    try:
        found = specialize.search(
            space,
            model.predict,
            budgets,
            method=method,
            seed=seed,
            population=population,
            generations=generations,
        )
    except InfeasibleBudget as error:
        option, unit, _ = OPTIONS.get(
            error.budget.name, (None, 1.0, "")
        )  # a device's own limits are no options
        raise (
            ValueError(f"{error}: {option} {error.achievable / unit:.9g}") if option else error
        ) from None
    optimum = specialize.search(space, model.predict, budgets, method="exact")
    result = {
        "space": space.name,
        "device": device.name,
        "latency_is": device.label,
        "latency_by": latency,
        "method": method,
        "seed": seed,
        "limits": {budget.name: budget.limit for budget in budgets},
        "arch": found.arch.to_json(),
        "predicted_accuracy": found.accuracy,
        "predictor": model.label,
        "predictor_rmse": model.rmse,
        "gap_to_optimum": optimum.accuracy - found.accuracy,
        **costs.of(found.arch),
        "planned_sram_bytes": costs.planned_sram_bytes(found.arch),
    }
    planned = result["planned_sram_bytes"]
    show(
        result,
        as_json,
        [
            f"subnet      {found.arch}",
            f"accuracy    {found.accuracy:.2f} % predicted ({model.label}"
            + (f"; error {model.rmse:.2f} points RMSE)" if model.rmse is not None else ")"),
            f"            {result['gap_to_optimum']:.3f} points below the exact optimum",
            (
                f"latency     {result['latency_ms']:.4g} ms on {device.title} ({device.label};"
                f" {latency})"
            ),
            f"MACs        {result['macs'] / 1e6:.2f}M     parameters {result['params'] / 1e3:.0f}k",
            f"memory      {result['peak_memory_bytes'] / 1000:.1f} kB peak activations"
            f" ({device.precision})"
            + (
                f", {result['sram_bytes'] / 1000:.1f} kB with the interpreter"
                if device.sram_bytes is not None
                else ""
            )
            + (
                f", {planned / 1000:.1f} kB as its planner places them"
                if planned != result["sram_bytes"]
                else ""
            ),
            f"flash       {result['flash_bytes'] / 1000:.1f} kB",
        ],
    )


@click.command()
@space_option
@device_option("Device whose front to print")
@picture_option(
    "Draw the front here (PNG, SVG or PDF), with what evolution and random search find."
)
@seed_option
@json_option
def pareto(space, device, picture, seed, as_json) -> None:
    """Print the exact Pareto front: every subnet that no other beats in both accuracy and latency.

    On a microcontroller it is the front of what its SRAM and flash can hold by prediction.
    """
    import numpy as np

    from labkit.search import front
    from labkit.specialize import device_search as specialize

    costs = specialize.Costs(space, device)
    model = specialize.accuracy_model(space)
    whole = front(space, model.predict, costs.latency_ms, costs.budgets(), progress=True)
    points = [
        {"latency_ms": cost, "predicted_accuracy": accuracy, "arch": arch.to_json()}
        for cost, accuracy, arch in zip(
            whole.cost.tolist(), whole.accuracy.tolist(), space.decode(whole.genes)
        )
    ]
    step = max(1, len(points) // 20)
    show(
        {
            "space": space.name,
            "device": device.name,
            "latency_is": device.label,
            "predictor": model.label,
            "predictor_rmse": model.rmse,
            "points": points,
        },
        as_json,
        [
            f"{len(points)} subnets on the front of {space.name} on {device.title}"
            f" ({device.label}); " + (f"one in {step}:" if step > 1 else "all of them:")
        ]
        + [
            f"{point['latency_ms']:10.4g} ms {point['predicted_accuracy']:7.2f} % "
            f" {Arch.from_json(point['arch'])}"
            for point in points[::step]
        ],
    )
    if picture:  # after the answer, which a full disk must not cost
        from labkit.course.pictures.fronts import front_and_searches
        from labkit.course.pictures.style import save_figure

        limits = np.geomspace(whole.cost[0], whole.cost[-1], 7)[1:-1]
        save_figure(
            front_and_searches(
                costs, whole, specialize.found_at_budgets(costs, model, limits, seed)
            ),
            picture,
        )


@click.command()
@space_option
@click.option(
    "--devices",
    default="host,pi4,stm32h743,mcu-64k",
    show_default=True,
    help="Names, with commas between.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="results", show_default=True
)
@seed_option
@json_option
def demo(space, devices, out, seed, as_json) -> None:
    """From the pretrained supernet to a subnet for each device at three budgets, evaluated and
    measured.
    """
    from labkit.specialize.demo import as_text
    from labkit.specialize.demo import demo as run

    rows = run(space, out, [name.strip() for name in devices.split(",")], seed)
    text = [as_text(rows), f"written to {out}: demo.csv, demo.json, pareto.png"]
    show({"rows": json.loads((out / "demo.json").read_text())}, as_json, text)


@click.command()
@space_option
@click.option(
    "--devices",
    "count",
    type=click.IntRange(1, 10**9),
    default=40,
    show_default=True,
    help="Number of devices that each need their own network.",
)
@picture_option("Draw the totals here (PNG, SVG or PDF).")
@json_option
def cost(space, count, picture, as_json) -> None:
    """What a search costs for N devices: published methods, and this package's own records."""
    from labkit.accounting import search_cost as accounting
    from labkit.accounting.records import records

    published, ours = accounting.published(), accounting.measured(records(space.name))
    reference = next(method for method in published if method.name == accounting.ONCE_FOR_ALL)
    rows = {
        "published": accounting.cost_rows(published, count, reference),
        "ours": accounting.cost_rows(ours, count),
    }
    lines = []
    for title, table in rows.items():
        lines += ["", f"{title}:"]
        lines += [
            f"  {row['method']:<44} {_hours(row['once']):>13} + {_hours(row['per device'])} a"
            f" device = {_hours(row[f'total for {count}'])} {row['unit']} for {count}"
            for row in table
        ]
    show({"devices": count, **rows}, as_json, lines[1:])
    if picture:
        from labkit.course.pictures.search_cost import cost_figure
        from labkit.course.pictures.style import save_figure

        save_figure(cost_figure(published, ours, count), picture)


def _hours(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
