"""Latencies as text for the terminal: devices side by side, and beside published latencies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labkit.comparison.published_latencies import PublishedLatency, held_out_error
from labkit.comparison.side_by_side import STATE
from labkit.latency.devices import TRUSTED_ERROR, SimulatedDevice

TITLE_WIDTH = 22
CALIBRATION = {
    "factor on the sum": lambda c: f"{c['factor']:.3f}",
    "intercept": lambda c: f"{c['intercept_ms']:.4f} ms",
    "for each block": lambda c: f"{c['per_block_ms']:.4f} ms",
}


def comparison_text(comparison: dict) -> str:
    """A column for each device, in groups of lines: latencies, ratios, state.

    `comparison` is what `labkit.comparison.side_by_side.side_by_side` returns.
    """
    devices = comparison["devices"]
    width = max(22, *(len(device["name"]) + 2 for device in devices))

    def cell(text: object) -> str:
        text = "-" if text is None else str(text)
        return f"{text if len(text) < width else text[: width - 2] + '…':>{width}}"

    def line(title: str, value_of: Callable[[dict], object]) -> str:
        return f"{title:<{TITLE_WIDTH}}" + "".join(cell(value_of(device)) for device in devices)

    def measured(field: str, text: Callable[[object], str]) -> Callable[[dict], str | None]:
        return lambda device: None if device.get(field) is None else text(device[field])

    def latency(name: str) -> Callable[[dict], str]:
        return lambda d: f"{d['latency_ms'][name]:.4g} ms {_times(d['ratio'][name]):>6}"

    shorter = ("simulated, order of magnitude", "order of magnitude")
    lines = [
        line(f"space {comparison['space']}", lambda device: device["name"]),
        line("latency is", lambda device: device["latency_is"].replace(*shorter)),
        *[line(name, latency(name)) for name in comparison["archs"]],
        line("rank correlation", lambda device: f"{device['spearman']:.4f}"),
        "",
        *[
            line(key.replace("_", " "), lambda d, key=key: d.get("state", {}).get(key))
            for key in STATE
        ],
        line("precision", lambda device: device["precision"]),
        line(
            "blocks, drifted",
            lambda d: f"{d['blocks']}, {d['drifted']}" if "blocks" in d else None,
        ),
        *[line(title, measured("calibration", text)) for title, text in CALIBRATION.items()],
        line("error of calibration", measured("calibration_error", lambda e: f"{100 * e:.2f} %")),
    ]
    return "\n".join(lines)


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.3g}x"


def published_text(device: SimulatedDevice, rows: Sequence[PublishedLatency]) -> str:
    """A table of the references, and what they say about the device."""
    error = held_out_error(rows)
    if error is None:
        verdict = "nothing published was held out, so it is good for an order of magnitude only"
    else:
        limit = "at most" if error <= TRUSTED_ERROR else "above"
        verdict = (
            f"median error on held-out references {100 * error:.0f} %, {limit} the"
            f" {100 * TRUSTED_ERROR:.0f} % of a device that is more than an order of magnitude"
        )
    lines = [f"{device.name} ({device.label}): {verdict}"]
    width = max((len(row.network) for row in rows), default=0)
    if rows:
        lines.append(
            f"  {'network':<{width}}  {'role':<8} {'published':>12} {'simulated':>12} {'error':>7} "
            " source"
        )
    for row in rows:
        lines.append(
            f"  {row.network:<{width}}  {row.role:<8} {row.published_ms:>9.4g} ms"
            f" {row.simulated_ms:>9.4g} ms {100 * row.error:>+5.0f} %  {row.source}"
            + (f" [{row.stand_in}]" if row.stand_in else "")
        )
    return "\n".join(lines)
