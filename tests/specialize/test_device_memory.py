"""What subnets take of devices' memories, by the engine that runs them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labkit.firmware.memory import STACK_BYTES, stack_bytes
from labkit.firmware.plan import arena_plan
from labkit.latency.devices import get_device
from labkit.space import network
from labkit.space.presets import FMNIST, spaces
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.device_memory import flash_table, sram_table
from labkit.specialize.subnet_search import search_subnet
from labkit.tables.arena import arena_table
from labkit.tables.costs import activation_table, params_table
from labkit.tables.synthetic_accuracy import synthetic_accuracy


def test_each_engine_has_its_memory():
    genes = FMNIST.sample(np.random.default_rng(0), 10)
    for name, expected in (
        ("stm32h743", arena_table(FMNIST)),
        ("pi4", activation_table(FMNIST, 4)),
        ("pi4-int8", activation_table(FMNIST, 1)),
    ):
        table = sram_table(FMNIST, get_device(name))
        np.testing.assert_array_equal(table(genes), expected(genes))
    for row, arch in zip(genes, FMNIST.decode(genes)):
        operators = network.operators(FMNIST, arch)
        arena, stack = arena_plan(operators).arena_bytes, stack_bytes(operators, "cortex-m3")
        sram = sram_table(FMNIST, get_device("mcu-20k"))(row[None])[0]
        assert arena + stack <= sram <= arena + STACK_BYTES


@pytest.mark.parametrize("sram_kb", [10, pytest.param(14, marks=pytest.mark.slow), 20])
def test_exact_search_for_firmware_is_exact(sram_kb):
    """No arch that is better than the answer fits: neither by its plan nor by its flash."""
    space = spaces["fmnist"]
    costs = DeviceCosts(space, get_device("mcu-20k"))
    accuracy = synthetic_accuracy(space)
    budgets = costs.budgets(sram_bytes=1000 * sram_kb)
    answer = search_subnet(space, accuracy, budgets, method="exact")
    assert costs.planned_sram_bytes(answer.arch) <= min(1000 * sram_kb, costs.device.sram_bytes)
    genes = space.mutate(np.random.default_rng(0), np.tile(answer.genes, (20000, 1)))
    better = np.unique(genes[accuracy(genes) > answer.accuracy], axis=0)[:300]
    assert len(better) > 50
    within = [costs.planned_sram_bytes(arch) <= 1000 * sram_kb for arch in space.decode(better)]
    assert not (within & costs.fits(space.decode(better))).any()


def test_limits_of_the_small_microcontroller_bite():
    """Each limit alone excludes 10 to 90 % of random archs, and some arch satisfies both."""
    genes = FMNIST.sample(np.random.default_rng(0), 5000)
    device = get_device("mcu-64k")
    too_much_sram = sram_table(FMNIST, device)(genes) > device.sram_bytes
    too_much_flash = flash_table(FMNIST, device)(genes) > device.flash_bytes
    assert 0.1 <= too_much_sram.mean() <= 0.9
    assert 0.1 <= too_much_flash.mean() <= 0.9
    assert (~too_much_sram & ~too_much_flash).mean() > 0.02


def test_flash_is_a_byte_a_weight_and_sixteen_a_channel():
    """Against the parameter count: its batch norms (2 a channel) and biases leave, 16 bytes a
    channel arrive.
    """
    from labkit.supernet.subnet import Subnet

    device, arch = get_device("mcu-64k"), FMNIST.smallest()
    layers = [
        m
        for m in Subnet(FMNIST, arch).modules()
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    expected = sum(m.weight.numel() + 16 * len(m.weight) for m in layers)
    # one entry a layer, three poolings (two of squeeze-excites per block with one), sums and scales
    operators = len(network.operators(FMNIST, arch))
    genes = FMNIST.encode([arch])
    assert flash_table(FMNIST, device)(genes)[0] == expected + 400 * operators
    assert params_table(FMNIST)(genes)[0] < flash_table(FMNIST, device)(genes)[0]
