"""Latencies as text for the terminal: devices side by side, and beside published latencies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labkit.comparison.published_latencies import PublishedLatency
from labkit.comparison.side_by_side import STATE
from labkit.latency.devices import SimulatedDevice
from labkit.latency.simulated.device_file import HeldOut
from labkit.specialize.targets import milliseconds

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
        def text(device: dict) -> str:
            ms = milliseconds(device["latency_ms"][name], device["latency_is"])
            return f"{ms} ms {_times(device['ratio'][name]):>6}"

        return text

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


def published_text(
    device: SimulatedDevice,
    rows: Sequence[PublishedLatency],
    held_out: HeldOut | None,
    *,
    recorded: bool = False,
) -> str:
    """What is known of a device's errors, and a table of its references.

    `recorded` says that the errors are those of the device's file, not computed now.
    """
    lines = [f"{device.name} ({device.label}): {_errors_text(held_out)}"]
    if held_out is not None and recorded and device.series is not None:
        lines.append(
            f"  as recorded; {device.series.file} is not in a folder that LABKIT_SHARED"
            f" names: {device.series.source}"
        )
    width = max((len(row.network) for row in rows), default=0)
    if rows:
        lines.append(
            f"  {'network':<{width}}  {'role':<8} {'published':>12} {'simulated':>12}"
            f" {'by others':>12} {'error':>7}  source"
        )
    for row in rows:
        unseen = f"{row.unseen_ms:.4g} ms" if row.unseen_ms is not None else "-"
        lines.append(
            f"  {row.network:<{width}}  {row.role:<8} {row.published_ms:>9.4g} ms"
            f" {row.simulated_ms:>9.4g} ms {unseen:>12} {100 * row.error:>+5.0f} %  {row.source}"
        )
    return "\n".join(lines)


def _errors_text(held_out: HeldOut | None) -> str:
    if held_out is None:
        return "nothing published was held out, so it is good for an order of magnitude only"
    ranks = "-" if held_out.spearman is None else f"{held_out.spearman:.3f}"
    return (
        f"median error {100 * held_out.median_error:.1f} %, 90 % within"
        f" {100 * held_out.p90_error:.1f} %, rank correlation {ranks}, n = {held_out.count}"
        f" ({held_out.networks}; fitted to {held_out.fitted} others)"
    )
