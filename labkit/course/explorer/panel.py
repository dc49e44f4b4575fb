"""The explorer's panel: core ipywidgets only, of the kinds that versions 7.7 and 8 share."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as widgets

from labkit.course.explorer.live_picture import LivePicture
from labkit.latency.devices import get_device
from labkit.latency.measured.table_files import HOST
from labkit.search import InfeasibleBudget
from labkit.specialize.targets import milliseconds

if TYPE_CHECKING:
    from labkit.course.explorer.recommendations import Recommendation, Recommender

WIDE = {"description_width": "80px"}


def panel(explorer: Recommender, recommendation: Recommendation) -> widgets.Widget:
    """Controls above a picture and a text, which follow them; `recommendation` is shown first."""
    layout = widgets.Layout(width="560px", max_width="100%")
    device = widgets.Dropdown(
        options=[(get_device(name).title, name) for name in explorer.devices],  # measures nothing
        description="device",
        style=WIDE,
        layout=layout,
    )
    latency = widgets.SelectionSlider(options=[0], description="latency", style=WIDE, layout=layout)
    memory = widgets.SelectionSlider(options=[0], description="memory", style=WIDE, layout=layout)
    live = lru_cache(maxsize=None)(lambda name: LivePicture(explorer, name))
    picture = widgets.Image(
        value=live(device.value).png(recommendation),
        format="png",
        layout=widgets.Layout(width=f"{live(device.value).width}px", max_width="100%"),
    )
    text = widgets.HTML(value=as_html(recommendation.text()))
    settling = [False]  # while the sliders get another device's settings, nothing is searched

    def update(_change=None) -> None:
        if settling[0]:
            return
        try:
            result = explorer.recommend(device.value, latency.value, memory.value)
        except InfeasibleBudget as error:
            picture.value = live(device.value).png(None, latency.value)
            text.value = as_html(str(error))
            return
        picture.value, text.value = live(device.value).png(result), as_html(result.text())

    def change_device(_change=None) -> None:
        settling[0] = True
        if device.value == HOST:
            text.value = as_html("This machine is measured once, which takes some seconds.")
        steps = [float(ms) for ms in explorer.latencies(device.value)]
        label = explorer.costs(device.value).device.label
        kind = label.partition(",")[0]  # the picture says how far a simulation is to be trusted
        latency.options = [(f"{milliseconds(ms, label)} ms {kind}", ms) for ms in steps]
        latency.value = steps[len(steps) // 2]
        sizes = [int(size) for size in explorer.memories(device.value)]
        memory.options = [(f"{size / 1024:.1f} KiB", size) for size in sizes]
        memory.value = sizes[-1]
        settling[0] = False

    change_device()
    device.observe(change_device, names="value")
    for control in (device, latency, memory):
        control.observe(update, names="value")
    return widgets.VBox([device, latency, memory, picture, text])


def as_html(text: str) -> str:
    return (
        '<pre class="explorer-text" style="white-space: pre-wrap; line-height:'
        f' 1.4">{escape(text)}</pre>'
    )
