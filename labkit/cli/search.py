"""labkit search: the best subnet under limits on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from labkit.cli.options import (
    Number,
    device_option,
    images_option,
    json_option,
    predictor_option,
    resolutions_line,
    seed_option,
    show,
    supernet_option,
)

if TYPE_CHECKING:
    from labkit.search import SearchResult


class Limit(NamedTuple):
    """The option that sets a budget."""

    option: str
    argument: str  # of `DeviceCosts.budgets`, and of the command
    factor: float  # how many of the budget's units one of the option's is
    unit: str  # the option's

    def of_budget(self, value: float | None) -> float | None:
        """What the user typed, in the budget's unit."""
        if value is None or self.factor == 1:
            return value
        return round(value * self.factor, 3)  # 64.746 * 1e3 is a hair below 64746


LIMITS = {  # by the budget's name
    "latency": Limit("--max-latency-ms", "latency_ms", 1.0, "ms"),
    "MACs": Limit("--max-macs", "macs", 1e6, "million"),
    "parameters": Limit("--max-params", "params", 1e3, "thousand"),
    "SRAM": Limit("--max-sram", "sram_bytes", 1e3, "kB"),
    "flash": Limit("--max-flash", "flash_bytes", 1e3, "kB"),
}
# What an engine of microcontrollers takes of SRAM besides activations.
ENGINES = {"tflm": "with the interpreter", "firmware": "as firmware, with its stack"}
AMOUNT = Number(0, 1e9)


@click.command()
@supernet_option
@images_option
@predictor_option
@device_option("Device to find a subnet for")
@click.option("--max-latency-ms", "latency_ms", type=AMOUNT, help="Latency limit in milliseconds.")
@click.option("--max-macs", "macs", type=AMOUNT, help="Limit on multiply-adds, in millions.")
@click.option("--max-params", "params", type=AMOUNT, help="Limit on parameters, in thousands.")
@click.option(
    "--max-sram",
    "sram_bytes",
    type=AMOUNT,
    help=(
        "Limit on memory, in kB (1,000 bytes): activations, on a microcontroller all that its"
        " engine takes. Its own limit holds anyway."
    ),
)
@click.option(
    "--max-flash", "flash_bytes", type=AMOUNT, help="Limit on stored weights, in kB; likewise."
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
@click.option(
    "--measure",
    "measurements",
    type=click.IntRange(1, 10_000),
    help=(
        "Measure this many subnets on val-search while searching, and learn from each (Thompson"
        " sampling, instead of --method). What is measured is kept: after an interruption the same"
        " command goes on."
    ),
)
@click.option("--population", type=click.IntRange(4, 10_000), default=100, show_default=True)
@click.option("--generations", type=click.IntRange(1, 10_000), default=500, show_default=True)
@seed_option
@json_option
def search(
    trained,
    images,
    predictor,
    device,
    latency,
    method,
    measurements,
    population,
    generations,
    seed,
    as_json,
    **limits,
) -> None:
    """Find the most accurate subnet that meets your limits on a device.

    Accuracy is predicted, and so is latency, from the device's lookup table or by regression. The
    answer says how far it is from the best arch that exists, which is computed exactly. With
    --measure, it is the best of the subnets that were measured.
    """
    from labkit.search import InfeasibleBudget
    from labkit.specialize.device_costs import DeviceCosts
    from labkit.specialize.subnet_search import certify, search_subnet
    from labkit.specialize.targets import latency_text

    trained = trained.using(images=images, predictor=predictor)
    space = device.known_part(trained.predictor.space)
    model = trained.predictor.at(space)
    costs = DeviceCosts(space, device, latency=latency)
    scaled = {limit.argument: limit.of_budget(limits[limit.argument]) for limit in LIMITS.values()}
    budgets = costs.budgets(**scaled)
    _warn_of_budgets_without_effect(budgets)
    measured, accuracy_lines = {}, []
    try:
        if measurements is None:
            result = search_subnet(
                space,
                model.predict,
                budgets,
                method=method,
                seed=seed,
                population=population,
                generations=generations,
            )
        else:
            if click.get_current_context().get_parameter_source("method").name == "COMMANDLINE":
                raise ValueError("--measure is a method of its own; leave out --method")
            if predictor == "synthetic":
                raise ValueError(
                    "--measure begins with what was measured before, not with synthetic"
                    " accuracies; leave out one of --measure and --predictor"
                )
            if space != trained.space:
                sides = ", ".join(map(str, space.resolutions))
                raise ValueError(
                    f"--measure searches all resolutions of a supernet, and latencies on"
                    f" {device.name!r} are known at {sides} px only; leave it out"
                )
            method = "thompson"
            result, measured, accuracy_lines = _measured(trained, budgets, measurements, seed)
    except InfeasibleBudget as error:
        limit = LIMITS.get(error.budget.name)
        if limit is None:  # of the device itself
            raise
        advice = f"{limit.option} {error.achievable / limit.factor:.9g}"
        raise ValueError(f"{error}: {advice}") from None
    gap = 0.0 if method == "exact" else certify(result, model.predict, budgets).gap
    predicted, on_val = (
        float(each.predict(result.genes[None])[0]) for each in (model, model.on("val"))
    )
    if model.shifts:
        accuracy_lines.append(f"{on_val:.2f} % predicted on val, of which no search sees an image")
    answer = {
        "supernet": trained.name,
        "space": space.name,
        "resolutions": space.resolutions,
        "device": device.name,
        "latency_is": device.label,
        "latency_by": latency,
        "method": method,
        "seed": seed,
        "limits": {budget.name: budget.limit for budget in budgets},
        "arch": result.arch.to_json(),
        "predicted_accuracy": predicted,
        "predicted_accuracy_on_val": on_val,
        "predictor": model.label,
        "predictor_rmse": model.rmse,
        "gap_to_optimum": gap,
        **measured,
        **costs.of(result.arch),
        "planned_sram_bytes": costs.planned_sram_bytes(result.arch),
    }
    planned = answer["planned_sram_bytes"]
    show(
        answer,
        as_json,
        [
            f"subnet      {result.arch}",
            *resolutions_line(trained, space),
            f"accuracy    {predicted:.2f} % predicted ({model.label}"
            + (f"; error {model.rmse:.2f} points RMSE)" if model.rmse is not None else ")"),
            f"            {answer['gap_to_optimum']:.3f} points below the exact optimum",
            *(f"            {line}" for line in accuracy_lines),
            (
                f"latency     {latency_text(answer['latency_ms'], device.label)} on {device.title}"
                f" ({latency})"
            ),
            f"MACs        {answer['macs'] / 1e6:.2f}M     parameters {answer['params'] / 1e3:.0f}k",
            f"memory      {answer['peak_memory_bytes'] / 1000:.1f} kB peak activations"
            f" ({device.precision})"
            + (
                f", {answer['sram_bytes'] / 1000:.1f} kB {ENGINES[device.engine]}"
                if device.engine in ENGINES
                else ""
            )
            + (
                f", {planned / 1000:.1f} kB as its planner places them"
                if planned != answer["sram_bytes"]
                else ""
            ),
            f"flash       {answer['flash_bytes'] / 1000:.1f} kB",
        ],
    )


def _measured(trained, budgets, measurements, seed) -> tuple[SearchResult, dict, list[str]]:
    """The best arch of a search that measures, what the answer says of it, and lines for a reader.

    It is measured once more on val: the best of many measurements was also lucky.
    """
    import numpy as np

    from labkit.specialize.standard_error import standard_error
    from labkit.specialize.thompson import MeasuredAccuracies, thompson_search

    posterior = trained.posterior  # before any image is read
    rng = np.random.default_rng(seed)
    search = thompson_search(
        posterior,
        MeasuredAccuracies(trained),
        budgets,
        measurements=measurements,
        rng=rng,
        progress=True,
    )
    best, counts = search.best, trained.pairs.header["images"]
    on_val = MeasuredAccuracies(trained, "val")(best.genes)
    low, high = (float(end[0]) for end in posterior.interval(best.genes[None]))
    errors = (
        standard_error(best.accuracy, counts["val-search"]),
        standard_error(on_val, counts["val"]),
    )
    answer = {
        "measurements": search.measurements,
        "measured_accuracy": best.accuracy,
        "measured_standard_error": errors[0],
        "predicted_interval": [low, high],
        "val_accuracy": on_val,
        "val_standard_error": errors[1],
        "measured": [
            {"arch": arch.to_json(), "accuracy": accuracy}
            for arch, accuracy in zip(trained.space.decode(search.genes), search.accuracy.tolist())
        ],
    }
    lines = [
        f"{best.accuracy:.2f} % measured on val-search, the best of {search.measurements} subnets"
        f" (standard error {errors[0]:.2f});",
        f"90 % of such measurements were expected from {low:.2f} to {high:.2f} %",
        f"{on_val:.2f} % measured on val (standard error {errors[1]:.2f})",
    ]
    return best, answer, lines


def _warn_of_budgets_without_effect(budgets) -> None:
    from labkit.tables.arena import ArenaTable
    from labkit.tables.separable import highest

    for budget in budgets:
        limit, most = LIMITS.get(budget.name), highest(budget.cost)
        if limit and budget.limit >= most:  # perhaps a limit in another unit than the option's
            said = f"{limit.option} {budget.limit / limit.factor:.9g}"
            effect, needs = "excludes no subnet", "needs"
            if isinstance(budget.cost, ArenaTable):  # its planner may need a bit more
                effect, needs = "hardly excludes a subnet", "is predicted to need"
            click.echo(
                f"labkit: {said} {effect}; none {needs} more than {most / limit.factor:.6g}"
                f" {limit.unit}",
                err=True,
            )
