"""labkit pareto: the whole exact front of accuracy and latency on a device."""

from __future__ import annotations

import click

from labkit.cli.options import (
    device_option,
    json_option,
    picture_option,
    predictor_option,
    resolutions_line,
    seed_option,
    show,
    supernet_option,
)
from labkit.space import Arch


@click.command()
@supernet_option
@predictor_option
@device_option("Device whose front to print")
@picture_option(
    "Draw the front here (PNG, SVG or PDF), with what evolution and random search find."
)
@seed_option
@json_option
def pareto(trained, predictor, device, picture, seed, as_json) -> None:
    """Print the exact Pareto front: every subnet that no other beats in both accuracy and latency.

    On a microcontroller, it is the front of the subnets predicted to fit into SRAM and flash.
    """
    import numpy as np

    from labkit.search import front
    from labkit.specialize.device_costs import DeviceCosts
    from labkit.specialize.targets import milliseconds

    trained = trained.using(predictor=predictor)
    space = device.known_part(trained.predictor.space)
    model = trained.predictor.at(space)
    costs = DeviceCosts(space, device)
    exact_front = front(space, model.predict, costs.latency_ms, costs.budgets(), progress=True)
    points = [
        {"latency_ms": cost, "predicted_accuracy": accuracy, "arch": arch.to_json()}
        for cost, accuracy, arch in zip(
            exact_front.cost.tolist(),
            exact_front.accuracy.tolist(),
            space.decode(exact_front.genes),
        )
    ]
    step = max(1, len(points) // 20)
    show(
        {
            "supernet": trained.name,
            "space": space.name,
            "resolutions": space.resolutions,
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
        + resolutions_line(trained, space)
        + [
            f"{milliseconds(point['latency_ms'], device.label):>10} ms"
            f" {point['predicted_accuracy']:7.2f} % "
            f" {Arch.from_json(point['arch'])}"
            for point in points[::step]
        ],
    )
    if picture:  # after the answer, which a full disk must not cost
        from labkit.course.pictures.fronts import front_and_searches
        from labkit.course.pictures.style import save_figure
        from labkit.specialize.subnet_search import searches_at_limits

        limits = np.geomspace(exact_front.cost[0], exact_front.cost[-1], 7)[1:-1]
        results = searches_at_limits(costs, model, limits, seed)
        save_figure(front_and_searches(costs, exact_front, results), picture)
