"""A subnet for each of several devices: requests as text, and choices against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latency_for_tests import TINY, made_up, own_cache, save  # noqa: F401  (a fixture)

from labkit.latency.devices import DeviceError, get_device
from labkit.latency.kit import board_import
from labkit.search import InfeasibleBudget
from labkit.space import Arch, Block
from labkit.space.presets import FMNIST
from labkit.specialize.choices import ALL, choose_subnets, require_distinct_devices
from labkit.specialize.deployment_matrix import DEFAULT_REQUESTS
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.device_memory import flash_table, sram_table
from labkit.specialize.targets import Request, Target, targets
from labkit.supernet.folder import TrainedSupernet


def all_archs() -> list[Arch]:
    """Every arch of the small space, written out."""
    stages = [
        [
            blocks
            for depth in stage.depths
            for blocks in itertools.product(
                [Block(k, e) for k in stage.kernels for e in stage.expands], repeat=depth
            )
        ]
        for stage in TINY.stages
    ]
    return [
        Arch(resolution, choice)
        for resolution in TINY.resolutions
        for choice in itertools.product(*stages)
    ]


@pytest.mark.parametrize(
    "text, device, budget, percent",
    [
        ("pi4:4", "pi4", 4, False),
        ("pi4:4ms", "pi4", 4, False),
        (" my-board : 0.25 ms", "my-board", 0.25, False),
        ("host:30%", "host", 30, True),
        ("host:100 %", "host", 100, True),
        ("a:.5", "a", 0.5, False),
    ],
)
def test_requests_as_text(text, device, budget, percent):
    assert Request.parse(text) == Request(device, budget, percent)


@pytest.mark.parametrize(
    "text",
    [
        "pi4",
        "pi4:",
        ":4",
        "pi4:fast",
        "pi4:-4",
        "pi4:nan",
        "pi4:inf",
        "pi4:1e3",
        "pi4:4s",
        "pi4=4",
        "",
        "pi4:4,5",
    ],
)
def test_what_is_no_request_says_how_to_write_one(text):
    with pytest.raises(
        ValueError, match="write them like pi4:4 .milliseconds. or pi4:50%"
    ) as error:
        Request.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("text", ["pi4:0", "pi4:0%", "pi4:101%", "pi4:" + "9" * 400])
def test_budgets_out_of_range(text):
    with pytest.raises(ValueError, match="more than 0 ms, or more than 0 % and at most 100 %"):
        Request.parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_request_or_a_clear_error(text):
    try:
        request = Request.parse(text)
    except ValueError:
        return
    assert request.device and 0 < request.budget < float("inf")


def test_a_percentile_is_what_that_share_of_random_subnets_reaches():
    costs = DeviceCosts(FMNIST, get_device("pi4"))
    budget = Request("pi4", 30, True).budget_ms(costs, seed=3)
    latency = costs.latency_ms(FMNIST.sample(np.random.default_rng(99), 20_000))
    assert (latency <= budget).mean() == pytest.approx(0.30, abs=0.02)
    assert Request("pi4", 2.5).budget_ms(costs, seed=3) == 2.5


def test_the_default_devices_are_five_and_each_gets_a_subnet(tmp_path):
    requests = [Request.parse(text) for text in DEFAULT_REQUESTS]
    assert len(requests) == 5
    simulated = [request for request in requests if request.device != "host"]
    wanted, choices = choose_subnets(targets(FMNIST, simulated), TrainedSupernet(FMNIST).predictor)
    assert [choice.owner for choice in choices][:4] == [target.name for target in wanted]
    for choice, target in zip(choices, wanted):
        assert target.costs.of(choice.arch)["latency_ms"] <= target.budget_ms


def test_choices_are_the_best_of_all_archs():
    """Against every arch of a small space: device by device, and under all budgets at once."""
    archs, model = all_archs(), TrainedSupernet(TINY, predictor="synthetic").predictor
    assert len(archs) == 2 * (4 + 4**2) * (2 + 2**2)
    genes, requests = (
        TINY.encode(archs),
        [Request("mcu-64k", 30, True), Request("pi4", 60, True), Request("pixel1", 45, True)],
    )
    wanted, choices = choose_subnets(targets(TINY, requests, seed=1), model)
    predicted, everywhere = model.predict(genes), np.ones(len(archs), bool)
    for target, choice in zip(wanted, choices):
        device = target.costs.device
        meets = device.latency_table(TINY)(genes) <= target.budget_ms
        if device.name == "mcu-64k":
            meets &= sram_table(TINY, device)(genes) <= device.sram_bytes
            meets &= flash_table(TINY, device)(genes) <= device.flash_bytes
        assert choice.owner == target.name
        assert choice.predicted_accuracy == pytest.approx(predicted[meets].max())
        assert meets[archs.index(choice.arch)]
        everywhere &= meets
    owned = [choice.predicted_accuracy for choice in choices if choice.owner != ALL]
    assert owned == sorted(owned, reverse=True)
    common = choices[-1]
    assert common.predicted_accuracy == pytest.approx(predicted[everywhere].max())
    assert everywhere[archs.index(common.arch)]
    assert (
        len(
            {choice.arch for choice in choices if choice.owner == ALL}
            & {c.arch for c in choices[:3]}
        )
        == 0
    )


def test_devices_that_no_subnet_can_share_get_none_for_all(tmp_path):
    """Board a is slow where board b is fast: their cheapest archs differ, and tight budgets exclude
    each other.
    """
    for name, slow in (("a", "k5"), ("b", "k3")):

        def block_ms(key, slow=slow):
            return 5.0 if slow in key and key.startswith(("block-8to16", "block-16to16")) else 0.01

        value = made_up(factor=1.0, intercept=0.0, per_block=0.0, block_ms=block_ms)
        board_import.import_table(save(value, tmp_path / f"{name}.json"), name)
    wanted, choices = choose_subnets(
        targets(TINY, [Request("a", 1), Request("b", 1)]),
        TrainedSupernet(TINY, predictor="synthetic").predictor,
    )
    assert sorted(choice.owner for choice in choices) == ["a", "b"]
    for choice in choices:  # the stage of 16 channels uses the other kernel
        assert {block.kernel for block in choice.arch.stages[0]} == {
            3 if choice.owner == "a" else 5
        }


@pytest.mark.parametrize(
    "requests, error, message",
    [
        ([], ValueError, "takes a device"),
        (["pi4:4", "host:1", "pi4:5"], ValueError, "device 'pi4' is given twice"),
        (["pi4:4", "pi5:4"], DeviceError, "unknown device 'pi5', known: host"),
    ],
)
def test_requests_that_do_not_go_together(requests, error, message):
    with pytest.raises(error, match=message):
        parsed = [Request.parse(text) for text in requests]
        require_distinct_devices(parsed)
        targets(TINY, parsed)


def test_an_impossible_budget_names_its_device_and_the_way_out():
    wanted = targets(FMNIST, [Request("pi4", 4), Request("stm32h743", 0.05)])
    with pytest.raises(
        InfeasibleBudget,
        match="latency on 'stm32h743' budget 0.05 ms cannot be met.* value is .* ms",
    ):
        choose_subnets(wanted, TrainedSupernet(FMNIST).predictor)


def test_a_target_names_its_limits():
    names = [
        budget.name
        for budget in Target(DeviceCosts(FMNIST, get_device("mcu-64k")), 300.0).budgets()
    ]
    assert (
        names[0] == "latency on 'mcu-64k'"
        and all("mcu-64k" in name for name in names)
        and len(names) == 3
    )
