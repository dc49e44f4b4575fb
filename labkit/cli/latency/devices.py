"""labkit devices: list devices, check simulated ones against publications, describe a new one."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import Number, json_option, show

POSITIVE = Number(0, 1e6, min_open=True)
SHARE = Number(0, 1, min_open=True)


@click.group(invoke_without_command=True)
@click.option("--check", is_flag=True, help="Compare simulated devices with published latencies.")
@json_option
@click.pass_context
def devices(context, check, as_json) -> None:
    """List the devices: this machine, simulated ones, and boards whose latency was imported."""
    if context.invoked_subcommand is not None:
        return
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
    lines = [
        f"{'name':<20} {'latency is':<32} {'precision':<9} {'free SRAM':>9} {'flash':>8}  device"
    ]
    for row in rows:
        sram, flash = (
            f"{row[key] / 1000:.0f} kB" if row[key] else "-"
            for key in ("sram_bytes", "flash_bytes")
        )
        lines.append(
            f"{row['name']:<20} {row['latency_is']:<32} {row['precision']:<9} {sram:>9} {flash:>8} "
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
            computed = published.held_out_errors(device, checked)
            held_out = computed or device.held_out
            row["held_out"] = held_out and held_out._asdict()
            lines += ["", published_text(device, checked, held_out, recorded=computed is None)]
    show({"devices": rows}, as_json, lines)


@devices.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--like", default="pi4", show_default=True, help="Simulated device to start from.")
@click.option("--title", help="Title under which the device is shown.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]))
@click.option("--clock", type=POSITIVE, help="MHz; with --macs-per-cycle.")
@click.option(
    "--macs-per-cycle", type=POSITIVE, help="Multiply-adds per cycle, all cores together."
)
@click.option("--dense", type=SHARE, help="Share of them that dense convolutions reach.")
@click.option("--pointwise", type=SHARE, help="Share that pointwise convolutions reach.")
@click.option("--depthwise", type=SHARE, help="Share that depthwise convolutions reach.")
@click.option("--bandwidth", type=POSITIVE, help="Memory bandwidth in GB/s.")
@click.option("--overhead", type=POSITIVE, help="Microseconds to start an operator.")
@click.option("--sram", type=click.IntRange(1, 2**30), help="Working memory in kB (1,024 bytes).")
@click.option("--flash", type=click.IntRange(1, 2**30), help="Storage in kB (1,024 bytes).")
def new(file, like, title, precision, clock, macs_per_cycle, sram, flash, **rates) -> None:
    """Write the device file FILE, for `--device FILE`; edit it as you learn more.

    What you leave out is taken from the device you start from; each parameter has its source.
    """
    from labkit.latency.simulated.device_template import write_device

    if (clock is None) != (macs_per_cycle is None):
        raise click.UsageError("--clock and --macs-per-cycle together say the peak; give both")
    rates["peak_gmacs"] = clock and clock * macs_per_cycle / 1e3
    rates["bandwidth_gb"], rates["overhead_us"] = rates.pop("bandwidth"), rates.pop("overhead")
    memories = {"sram": sram, "flash": flash}
    write_device(
        file,
        like,
        title=title,
        precision=precision,
        clock_mhz=clock,
        rates={name: value for name, value in rates.items() if value is not None},
        memories={name: 1024 * size for name, size in memories.items() if size is not None},
    )
    click.echo(f"device written to {file}; labkit search --device {file}")
