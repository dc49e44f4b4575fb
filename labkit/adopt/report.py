"""The report of an adoption: one HTML file with its pictures inside."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from matplotlib.figure import Figure

from labkit.adopt.adoption import Adoption, with_more_time
from labkit.course.pictures.deployment import deployment_matrix
from labkit.course.pictures.fronts import device_fronts
from labkit.search import front
from labkit.specialize.choices import ALL
from labkit.storage.atomic_write import write_atomic

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
    "code{white-space:nowrap}"
)


def write_report(adoption: Adoption, path: Path) -> None:
    """Write the report to `path`: networks, fronts, the matrix, where the time went, what more
    time would bring.
    """
    trained, matrix, plan = adoption.trained, adoption.matrix, adoption.plan
    record, space = trained.dataset_record, trained.space
    images = ", ".join(f"{count} {name}" for name, count in record.splits.items())
    sections = [
        f"<h1>{_text(space.name)}: a network for each device</h1>",
        f"<p>{sum(record.splits.values())} images in {len(record.classes)} classes ({images}), as"
        f" {record.form.side} px squares ({record.form.fit}). The supernet has"
        f" {space.size():.4g} subnets and was trained for {plan.config.epochs} epochs; the accuracy"
        f" predictor was fitted to {adoption.pairs} of them, with an error of"
        f" {trained.predictor.rmse:.2f} points on subnets that it had not seen.</p>",
        "<h2>Networks</h2>",
        _networks(adoption),
        f"<p>Accuracies are {_text(matrix.accuracy_is)}; {record.splits['val']} images, so that a"
        f" standard error is up to {100 * 0.5 / record.splits['val'] ** 0.5:.1f} points. Files are"
        " in <code>networks</code>.</p>",
        "<h2>What each device could have</h2>",
        _picture(_fronts(adoption)),
        "<h2>Every network on every device</h2>",
        _picture(deployment_matrix(matrix)),
        "<h2>Where the time went</h2>",
        _table(
            ["part", "minutes"],
            [[name, f"{seconds / 60:.1f}"] for name, seconds in adoption.seconds.items()]
            + [["together", f"{adoption.total_seconds / 60:.1f} of {adoption.minutes:g}"]],
        ),
        f"<p>{_text(with_more_time(adoption))}</p>",
        "<p>Go on by hand: <code>labkit search --supernet supernet --device pi4</code> in this"
        " folder, or any other command with <code>--supernet supernet</code>.</p>",
    ]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(space.name)}</title>'
        f"<style>{STYLE}</style>{''.join(sections)}</html>\n"
    )
    write_atomic(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def _networks(adoption: Adoption) -> str:
    matrix, rows = adoption.matrix, []
    for d, target in enumerate(matrix.targets):
        s = next(i for i, choice in enumerate(matrix.choices) if choice.owner == target.name)
        file = matrix.file_of(s)
        rows.append(
            [
                target.costs.device.title,
                f"{target.budget_ms:.3g} ms",
                f"{matrix.latency_ms[s, d]:.3g} ms ({matrix.latency_is[d]})",
                f"{matrix.accuracy[s, d]:.2f} %",
                str(matrix.choices[s].arch),
                "" if file is None else Path(file).name,
            ]
        )
    return _table(["device", "budget", "latency", "accuracy", "subnet", "file"], rows)


def _fronts(adoption: Adoption) -> Figure:
    """The exact front of each device, and its network on it."""
    matrix, rows = adoption.matrix, []
    for s, choice in enumerate(matrix.choices):
        for d, target in enumerate(matrix.targets):
            if choice.owner == target.name != ALL:
                rows.append(
                    {
                        "device": target.name,
                        "budget_ms": target.budget_ms,
                        "latency_ms": matrix.latency_ms[s, d],
                        "val_accuracy": matrix.accuracy[s, d],
                        "val_error": matrix.accuracy_error[s, d],
                    }
                )
    costs = [target.costs for target in matrix.targets]
    predict, space = adoption.trained.predictor.predict, adoption.trained.space
    fronts = [front(space, predict, each.latency_ms, each.budgets()) for each in costs]
    return device_fronts(costs, fronts, rows)


def _picture(figure: Figure) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}">'


def _table(head: list[str], rows: list[list[str]]) -> str:
    def row(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{_text(cell)}</{tag}>" for cell in cells) + "</tr>"

    return f"<table>{row(head, 'th')}{''.join(row(cells, 'td') for cells in rows)}</table>"


def _text(value: str) -> str:
    return html.escape(str(value))
