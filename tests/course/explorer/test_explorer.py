"""The explorer without a front end: recommendations against exact search, and the panel."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from labkit.course.explorer.explorer import Explorer
from labkit.course.explorer.live_picture import LIVE_DPI, LivePicture
from labkit.course.explorer.panel import panel
from labkit.course.explorer.recommendations import DEVICE_NAMES
from labkit.course.pictures.display import png
from labkit.search import Budget, InfeasibleBudget
from labkit.space.presets import get_space
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.tables.synthetic_accuracy import synthetic_accuracy


@pytest.fixture(scope="module")
def explorer():
    space = get_space("fmnist")
    return Explorer(
        space, AccuracyModel(synthetic_accuracy(space), "synthetic", None), ("pi4", "mcu-64k")
    )


def test_recommendations_keep_to_the_limits_and_below_the_optimum(explorer):
    for device in explorer.devices:
        costs = explorer.costs(device)
        limit, memory = float(explorer.latencies(device)[30]), int(explorer.memories(device)[6])
        recommendation = explorer.recommend(device, limit, memory)
        genes = recommendation.result.genes[None]
        memory_bytes = costs.sram_bytes(genes)[0]
        assert costs.latency_ms(genes)[0] <= limit and memory_bytes <= memory
        assert (
            f" {memory_bytes / 1024:.1f} KiB of memory (limit {memory / 1024:.1f} KiB)"
            in recommendation.text()
        )
        assert 0 <= recommendation.gap < 1
        random = explorer.space.sample(np.random.default_rng(0), 5000)
        feasible = (costs.latency_ms(random) <= limit) & (costs.sram_bytes(random) <= memory)
        flash = costs.device.flash_bytes
        feasible &= costs.flash_bytes(random) <= (flash or np.inf)
        assert recommendation.optimum.accuracy >= explorer.model.predict(random[feasible]).max()


def test_every_device_has_settings(explorer):
    for name in set(DEVICE_NAMES) - {"host"}:  # which would be measured
        assert (np.diff(explorer.latencies(name)) > 0).all() and (
            np.diff(explorer.memories(name)) > 0
        ).all()
        costs = explorer.costs(name)
        quickest = costs.latency_ms(explorer.space.encode([explorer.space.smallest()]))[0]
        assert explorer.latencies(name)[0] >= quickest  # never rounded to what nothing meets
        assert all(float(f"{ms:.2g}") == pytest.approx(ms) for ms in explorer.latencies(name))
        limit = costs.device.sram_bytes
        assert limit is None or explorer.memories(name)[-1] <= limit


def test_panel_follows_its_controls(explorer):
    box = panel(explorer, explorer.first_recommendation())
    device, latency, memory, picture, text = box.children
    views = {(bytes(picture.value), text.value)}
    latency.value = latency.options[10][1]
    views.add((bytes(picture.value), text.value))
    memory.value = memory.options[3][1]
    views.add((bytes(picture.value), text.value))
    device.value = "mcu-64k"
    views.add((bytes(picture.value), text.value))
    assert len(views) == 4 and bytes(picture.value).startswith(b"\x89PNG")
    assert memory.options[-1][1] <= explorer.costs("mcu-64k").device.sram_bytes


def test_the_panel_says_how_latencies_are_known_and_measures_no_machine_before_it_is_asked(
    explorer,
):
    with_host = Explorer(explorer.space, explorer.model, ("pi4", "host"))
    device, latency, *_ = panel(with_host, with_host.first_recommendation()).children
    assert [name for _, name in device.options] == ["pi4", "host"]
    assert with_host.costs.cache_info().currsize == 1  # pi4's
    assert all(re.fullmatch(r"[0-9.]+ ms simulated", text) for text, _ in latency.options)


def test_limits_that_nothing_meets_are_said_and_shown(explorer):
    box = panel(explorer, explorer.first_recommendation())
    device, latency, memory, picture, text = box.children
    before = bytes(picture.value)
    recommend, explorer.recommend = explorer.recommend, refuse
    try:
        latency.value = latency.options[0][1]
    finally:
        explorer.recommend = recommend
    assert (
        "cannot be met" in text.value and "0.5 ms" in text.value and bytes(picture.value) != before
    )


def refuse(*_):
    raise InfeasibleBudget(Budget(lambda genes: genes[:, 0] + 0.5, 0.1, "latency", "ms"), 0.5)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def test_the_live_picture_is_the_static_one(explorer):
    live = LivePicture(explorer, "pi4")
    costs = explorer.costs("pi4")
    memory = int(explorer.memories("pi4")[-1])
    recommendations = [
        explorer.recommend("pi4", float(ms), memory)
        for ms in explorer.latencies("pi4")[[10, 50, 30]]
    ]
    assert (
        len({recommendation.result.arch for recommendation in recommendations}) == 3
        and costs is recommendations[0].costs
    )
    for recommendation in recommendations:  # no mark stays in the next picture
        live_pixels, static_pixels = (
            pixels(live.png(recommendation)),
            pixels(png(explorer.figure(recommendation), LIVE_DPI)),
        )
        assert (
            live_pixels.shape == static_pixels.shape
            and (np.abs(live_pixels - static_pixels).max(2) > 40).mean() < 0.01
        )


def test_a_picture_and_a_text_stand_in_for_the_panel(explorer):
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG") and "exact optimum" in bundle["text/plain"]
    assert bundle["application/vnd.jupyter.widget-view+json"]["version_major"] == 2
