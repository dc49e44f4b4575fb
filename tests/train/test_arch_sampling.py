import numpy as np
import pytest

from labkit.space.presets import spaces
from labkit.tables.costs import macs_table
from labkit.train.arch_sampling import uniform_choices, uniform_log_macs


@pytest.mark.parametrize("name", ["fmnist", "cifar10"])
def test_log_macs_of_the_drawn_archs_are_uniform_between_those_of_the_ends(name):
    space = spaces[name]
    archs = uniform_log_macs(space, np.random.default_rng(0), 4000)
    table = macs_table(space)
    low, high = np.log(table(space.encode([space.smallest(), space.largest()])))
    shares = (np.log(table(space.encode(archs))) - low) / (high - low)
    # Kolmogorov-Smirnov: 1.95 is its 0.1 % point; neighbors in the pool add their distance.
    distance = np.abs(np.sort(shares) - (np.arange(4000) + 0.5) / 4000).max()
    assert distance < 1.95 / 4000**0.5 + 0.02


def test_uniform_choices_leave_the_ends_rare():
    space = spaces["fmnist"]
    archs = uniform_choices(space, np.random.default_rng(0), 4000)
    table = macs_table(space)
    low, high = np.log(table(space.encode([space.smallest(), space.largest()])))
    shares = (np.log(table(space.encode(archs))) - low) / (high - low)
    assert (shares < 1 / 3).mean() < 0.15


def test_a_draw_is_a_function_of_its_generator_and_an_arch_of_the_space():
    space = spaces["cifar10"]
    a, b, other = (uniform_log_macs(space, np.random.default_rng(s), 5) for s in (1, 1, 2))
    assert a == b != other
    for arch in a:
        space.validate(arch)
