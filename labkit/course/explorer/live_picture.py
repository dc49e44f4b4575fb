"""The explorer's picture: the subnet as blocks above its place on the front.

What one device's answers share (axes, outlines, labels) is drawn once and kept as pixels; what an
answer adds is drawn over a copy of them. Drawing everything again would take most of a slider's 150
ms.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from labkit.course.pictures.ideas import draw_blocks, draw_outlines
from labkit.course.pictures.plots import BLUE, GRAY, GREEN, RED, log_axis

if TYPE_CHECKING:
    from labkit.course.explorer.answers import Answer, Answers
    from labkit.search import SearchResult

DPI = 92
FRONT = {"color": BLUE}
LIMIT = {"color": GRAY, "linestyle": ":"}
FOUND = {"color": RED, "marker": "o", "linestyle": "none"}
BEST = {"color": GREEN, "marker": "D", "linestyle": "none", "markersize": 11, "fillstyle": "none"}


def frame(explorer: Answers, device: str) -> Figure:
    """What the pictures of all answers for one device have in common."""
    costs, latencies = explorer.costs(device), explorer.latencies(device)
    reachable = explorer.front(device, int(explorer.memories(device)[-1])).accuracy
    figure = Figure(
        figsize=(7.4, 4.9)
    )  # fixed margins: a layout engine takes longer than the drawing
    above, below = figure.subplots(
        2,
        height_ratios=(1, 1.5),
        gridspec_kw={"left": 0.1, "right": 0.98, "top": 0.94, "bottom": 0.11, "hspace": 0.18},
    )
    draw_outlines(above, explorer.space)
    log_axis(below, latencies[0], latencies[-1])
    margin = 0.06 * (reachable[-1] - reachable[0]) + 0.01
    below.set(
        xlabel=f"latency, ms ({costs.device.label})",
        ylabel="predicted accuracy, %",
        autoscale_on=False,
        xlim=(0.93 * latencies[0], 1.07 * latencies[-1]),
        ylim=(reachable[0] - margin, reachable[-1] + margin),
    )
    front = "best possible" if costs.device.flash_bytes is None else "nothing can lie above"
    below.legend(
        [Line2D([], [], **style) for style in (FRONT, LIMIT, FOUND, BEST)],
        [front, "latency limit", "this subnet", "exact optimum"],
        loc="lower right",
        fontsize=8,
    )
    return figure


def marks(figure: Figure, explorer: Answers, answer: Answer) -> list[Artist]:
    """Add what one answer is about to a frame; the artists added."""
    above, below = figure.axes
    arch = answer.found.arch

    def latency(result: SearchResult) -> float:
        return float(answer.costs.latency_ms(result.genes[None])[0])

    return [
        title(
            figure,
            f"{arch.resolution} px, {sum(arch.depths)} blocks, predicted"
            f" {answer.found.accuracy:.2f} %",
        ),
        *draw_blocks(above, explorer.space, arch),
        *below.plot(answer.front.cost, answer.front.accuracy, **FRONT),
        below.axvline(answer.latency_limit_ms, **LIMIT),
        *below.plot(latency(answer.optimum), answer.optimum.accuracy, **BEST),
        *below.plot(latency(answer.found), answer.found.accuracy, **FOUND),
    ]


def title(figure: Figure, text: str) -> Artist:
    return figure.axes[0].text(0, 1.03, text, transform=figure.axes[0].transAxes, fontsize=10)


class LivePicture:
    """Pictures of one device's answers, as PNG."""

    def __init__(self, explorer: Answers, device: str) -> None:
        self.explorer, self.figure = explorer, frame(explorer, device)
        self.figure.set_dpi(DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        self.canvas.draw()
        self.width = self.canvas.get_width_height()[0]  # pixels
        self.shared = self.canvas.copy_from_bbox(self.figure.bbox)

    def png(self, answer: Answer | None) -> bytes:
        """The picture of an answer, or of there being none."""
        self.canvas.restore_region(self.shared)
        for artist in (
            marks(self.figure, self.explorer, answer)
            if answer
            else [title(self.figure, "no subnet meets these limits")]
        ):
            artist.axes.draw_artist(artist)
            artist.remove()
        pixels = Image.frombuffer("RGBA", self.canvas.get_width_height(), self.canvas.buffer_rgba())
        buffer = io.BytesIO()
        pixels.convert("RGB").save(
            buffer, "PNG", compress_level=1
        )  # a larger file, in a fifth of the time
        return buffer.getvalue()
