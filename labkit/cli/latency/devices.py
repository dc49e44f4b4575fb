"""labkit devices: list them, and compare simulated ones with what was published."""

from __future__ import annotations

import click

from labkit.cli.options import json_option, show


@click.command()
@click.option("--check", is_flag=True, help="Compare simulated devices with published latencies.")
@json_option
def devices(check, as_json) -> None:
    """List the devices: this machine, simulated ones, and boards whose latency was imported."""
    from labkit.latency.devices import device_names, get_device

    listed = [get_device(name) for name in device_names()]
    rows = [
        {
            "name": d.name,
            "title": d.title,
            "latency_is": d.label,
            "precision": d.precision,
            "sram_bytes": d.sram_bytes,
            "flash_bytes": d.flash_bytes,
        }
        for d in listed
    ]
    lines = [f"{'name':<14} {'latency is':<32} {'precision':<9} {'SRAM':>8} {'flash':>8}  device"]
    for row in rows:
        sram, flash = (
            f"{row[key] / 1000:.0f} kB" if row[key] else "-"
            for key in ("sram_bytes", "flash_bytes")
        )
        lines.append(
            f"{row['name']:<14} {row['latency_is']:<32} {row['precision']:<9} {sram:>8} {flash:>8} "
            f" {row['title']}"
        )
    if check:
        from labkit.cli.latency.text import published_text
        from labkit.comparison import published_latencies as published

        for device, row in zip(listed, rows):
            if device.kind != "simulated":
                continue
            checked = published.check(device)
            row["references"] = [reference._asdict() for reference in checked]
            row["held_out_error"] = published.held_out_error(checked)
            lines += ["", published_text(device, checked)]
    show({"devices": rows}, as_json, lines)
