import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import make_it_bite, small_spaces

from labkit.space.presets import FMNIST
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.prefix_tree import TreeWalk, path_of, tree_of
from labkit.supernet.supernet import Supernet


def stretches(tree):
    yield tree
    for branch in tree.branches:
        yield from stretches(branch)


@given(small_spaces, st.integers(0, 99), st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_each_prefix_is_in_the_tree_once_and_each_arch_ends_once(space, seed, n):
    paths = [path_of(arch) for arch in space.decode(space.sample(np.random.default_rng(seed), n))]
    tree = tree_of(paths)
    prefixes = {path[:length] for path in paths for length in range(1, len(path) + 1)}
    assert sum(len(stretch.blocks) for stretch in stretches(tree)) == len(prefixes)
    assert sorted(i for stretch in stretches(tree) for i in stretch.ends) == list(range(n))

    def follow(stretch, before):
        path = before + stretch.blocks
        assert all(paths[i] == path for i in stretch.ends)
        assert len(stretch.branches) != 1 or stretch.ends  # no fork without a choice
        for branch in stretch.branches:
            follow(branch, path)

    follow(tree, ())


def test_statistics_and_logits_are_those_of_one_arch_at_a_time():
    supernet, generator = make_it_bite(Supernet(FMNIST)), torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    genes = FMNIST.sample(rng, 1).repeat(6, 0)
    genes[1:] = FMNIST.mutate(rng, genes[1:], rate=0.2, resolution_rate=0.0)
    archs = FMNIST.decode(genes)
    side = archs[0].resolution
    calibration, images = (torch.randn(n, 1, side, side, generator=generator) for n in (30, 25))
    blocks = sum(len(path_of(arch)) for arch in archs)
    with torch.inference_mode():
        tree, walk, found = (
            tree_of([path_of(arch) for arch in archs]),
            TreeWalk(supernet, 10, archs[0].width),
            {},
        )
        calls = []
        hooks = [
            block.register_forward_hook(lambda *_: calls.append(1))
            for block in supernet.blocks.values()
        ]
        walk.calibrate(tree, calibration)
        for hook in hooks:
            hook.remove()
        assert (
            len(calls) == 3 * sum(len(stretch.blocks) for stretch in stretches(tree)) < 3 * blocks
        )
        for chunk in images.split(15):  # the second chunk is a smaller one
            for i, logits in walk.logits(tree, chunk):
                found.setdefault(i, []).append(logits)
        for i, arch in enumerate(archs):
            stats = recalibrate(supernet, arch, calibration.split(10))
            alone = torch.cat(
                [supernet(batch, arch, stats) for batch in (*images[:15].split(10), images[15:])]
            )
            torch.testing.assert_close(torch.cat(found[i]), alone, rtol=1e-4, atol=1e-4)
