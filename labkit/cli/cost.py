"""labkit cost: what a search costs for many devices, published and measured here."""

from __future__ import annotations

import click

from labkit.cli.options import json_option, picture_option, show, supernet_option


@click.command()
@supernet_option
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
def cost(trained, count, picture, as_json) -> None:
    """What a search costs for N devices: published methods, and this package's own records."""
    from labkit.accounting import search_cost as accounting
    from labkit.accounting.records import records

    published, measured = (
        accounting.published(),
        accounting.measured(records(trained.space.name, trained.path)),
    )
    reference = next(method for method in published if method.name == accounting.ONCE_FOR_ALL)
    rows = {
        "published": accounting.cost_rows(published, count, reference),
        "ours": accounting.cost_rows(measured, count),
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

        save_figure(cost_figure(published, measured, count), picture)


def _hours(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
