"""The explorer's picture: the subnet as blocks above its place on the front.

What all pictures for one device share (axes, outlines, labels) is drawn once and kept as pixels. A
recommendation is drawn over a copy of them, because drawing everything again would take most of
the 150 ms in which a slider should respond.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from labkit.course.pictures.style import BLUE, GRAY, GREEN, RED, log_axis
from labkit.course.pictures.supernet import draw_blocks, draw_outlines, size_text

if TYPE_CHECKING:
    from labkit.course.explorer.recommendations import Recommendation, Recommender
    from labkit.search import SearchResult

LIVE_DPI = 92
FRONT_STYLE = {"color": BLUE}
LIMIT_STYLE = {"color": GRAY, "linestyle": ":"}
RESULT_STYLE = {"color": RED, "marker": "o", "linestyle": "none"}
ERROR_STYLE = {"color": RED, "marker": "_", "markersize": 9, "markeredgewidth": 1.5}
OPTIMUM_STYLE = {
    "color": GREEN,
    "marker": "D",
    "linestyle": "none",
    "markersize": 11,
    "fillstyle": "none",
}


def frame(explorer: Recommender, device: str) -> Figure:
    """What the pictures of all recommendations for one device have in common."""
    costs, latencies = explorer.costs(device), explorer.latencies(device)
    reachable = explorer.front(device, int(explorer.memories(device)[-1])).accuracy
    figure = Figure(figsize=(7.4, 4.9))  # fixed margins: a layout engine takes longer than drawing
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
    this_subnet = "this subnet" if explorer.model.rmse is None else "this subnet, ± typical error"
    below.legend(
        [
            Line2D([], [], **style)
            for style in (FRONT_STYLE, LIMIT_STYLE, RESULT_STYLE, OPTIMUM_STYLE)
        ],
        ["nothing can lie above", "latency limit", this_subnet, "exact optimum"],
        loc="lower right",
        fontsize=8,
    )
    return figure


def draw_recommendation(
    figure: Figure, explorer: Recommender, recommendation: Recommendation
) -> list[Artist]:
    """Draw one recommendation over a frame; returns the artists added."""
    above, below = figure.axes
    result, optimum, front = recommendation.result, recommendation.optimum, recommendation.front
    arch = result.arch

    def dot(subnet: SearchResult, style: dict) -> list[Artist]:
        latency_ms = float(recommendation.costs.latency_ms(subnet.genes[None])[0])
        return below.plot(latency_ms, subnet.accuracy, **style)

    def error_bar(subnet: SearchResult, error: float | None) -> list[Artist]:
        if error is None:
            return []
        latency_ms = float(recommendation.costs.latency_ms(subnet.genes[None])[0])
        ends = subnet.accuracy - error, subnet.accuracy + error
        return below.plot([latency_ms, latency_ms], ends, **ERROR_STYLE)

    text = f"{size_text(arch)}, predicted {result.accuracy:.2f} %"
    return [
        title(figure, text),
        *draw_blocks(above, explorer.space, arch),
        *below.plot(front.cost, front.accuracy, **FRONT_STYLE),
        below.axvline(recommendation.latency_limit_ms, **LIMIT_STYLE),
        *error_bar(result, explorer.model.rmse),
        *dot(optimum, OPTIMUM_STYLE),
        *dot(result, RESULT_STYLE),
    ]


def title(figure: Figure, text: str) -> Artist:
    return figure.axes[0].text(0, 1.03, text, transform=figure.axes[0].transAxes, fontsize=10)


class LivePicture:
    """Pictures of one device's recommendations, as PNG."""

    def __init__(self, explorer: Recommender, device: str) -> None:
        self.explorer, self.figure = explorer, frame(explorer, device)
        self.front = explorer.front(device, int(explorer.memories(device)[-1]))
        self.figure.set_dpi(LIVE_DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        self.canvas.draw()
        self.width = self.canvas.get_width_height()[0]  # pixels
        self.shared = self.canvas.copy_from_bbox(self.figure.bbox)

    def png(self, recommendation: Recommendation | None, limit_ms: float = 0.0) -> bytes:
        """The picture of a recommendation, or of none within this latency limit."""
        self.canvas.restore_region(self.shared)
        if recommendation is None:
            below = self.figure.axes[1]
            artists = [
                title(self.figure, "no subnet meets these limits"),
                *below.plot(self.front.cost, self.front.accuracy, **FRONT_STYLE),
                below.axvline(limit_ms, **LIMIT_STYLE),
            ]
        else:
            artists = draw_recommendation(self.figure, self.explorer, recommendation)
        for artist in artists:
            artist.axes.draw_artist(artist)
            artist.remove()
        pixels = Image.frombuffer("RGBA", self.canvas.get_width_height(), self.canvas.buffer_rgba())
        buffer = io.BytesIO()
        # Little compression: a larger file in a fifth of the time.
        pixels.convert("RGB").save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
