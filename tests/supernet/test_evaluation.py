import numpy as np
import pytest
import torch
from spaces_for_tests import WIDE, make_it_bite

from labkit.data import datasets as data
from labkit.space import Arch, Block, SearchSpace, Stage
from labkit.space.presets import FMNIST
from labkit.supernet.evaluation import Evaluator, spread
from labkit.supernet.supernet import Supernet


@pytest.fixture(scope="module")
def evaluator():
    return Evaluator(
        make_it_bite(Supernet(FMNIST)),
        data.load(),
        "val",
        images=200,
        recalibration_images=150,
        batch=50,
    )


def test_accuracy_is_the_share_of_right_answers_of_the_extracted_subnet(evaluator):
    dataset = data.load()
    arch = FMNIST.decode(FMNIST.sample(np.random.default_rng(1), 1))[0]
    stats = evaluator.recalibrate(arch)
    picked = spread(5000, 200)
    images = data.resize(
        data.normalize(dataset.splits["val"].images[picked], dataset), arch.resolution
    )
    subnet = evaluator.supernet.extract(arch, stats)
    with torch.no_grad():
        right = (subnet(images).argmax(1) == dataset.splits["val"].labels[picked]).sum().item()
    assert evaluator.accuracy(arch, stats) == evaluator.accuracy(arch) == 100 * right / 200


def test_many_archs_at_once_get_the_accuracies_of_one_at_a_time(evaluator):
    rng = np.random.default_rng(0)
    genes = FMNIST.sample(rng, 6)
    # Relatives share prefixes; a twin and a prefix of another arch are the odd cases.
    genes = np.concatenate(
        [genes, FMNIST.mutate(rng, genes, rate=0.1, resolution_rate=0.0), genes[:1]]
    )
    archs = FMNIST.decode(genes)
    together = evaluator.accuracies(archs)
    assert together == [evaluator.accuracy(arch) for arch in archs]
    assert together[0] == together[-1]
    assert evaluator.accuracies([]) == []


def test_archs_of_different_widths_share_nothing_but_images():
    few = {"images": 60, "recalibration_images": 40, "batch": 20}
    evaluator = Evaluator(make_it_bite(Supernet(WIDE)), data.load(), "val", **few)
    genes = WIDE.sample(np.random.default_rng(0), 1).repeat(12, 0)
    genes[:, 0] = np.arange(12) % 6  # the same blocks at every global choice, twice
    archs = WIDE.decode(genes)
    together = evaluator.accuracies(archs)
    assert together == [evaluator.accuracy(arch) for arch in archs]
    assert together[:6] == together[6:]


def test_an_image_alone_in_the_last_batch_is_left_out_of_the_statistics():
    """Where the last map is one pixel, it has no variance."""
    stages = tuple(Stage(8, 2, (1,), kernels=(3,), expands=(2,)) for _ in range(3))
    space = SearchSpace("pixel", (16,), stages, 1, 10, 8, final_width=16)
    few = {"images": 20, "batch": 20}
    supernet = make_it_bite(Supernet(space))
    odd, even = (
        Evaluator(supernet, data.load(), "val", recalibration_images=n, **few) for n in (41, 40)
    )
    assert np.isfinite(odd.accuracy(space.largest()))
    assert len(odd._calibration) == len(even._calibration) == 40


def test_spread_reaches_from_end_to_end():
    assert spread(100, 5).tolist() == [0, 25, 50, 74, 99]
    assert (
        spread(7, 7).tolist() == spread(7, 20).tolist() == list(range(7))
    )  # no image counts twice
    with pytest.raises(ValueError, match="0 images: want at least 1"):
        spread(7, 0)


def test_an_arch_of_another_space_is_refused_among_many(evaluator):
    good = FMNIST.smallest()
    wide = Arch(
        20, ((Block(3, 6),), *good.stages[1:])
    )  # a ratio above the largest would run as the largest
    for arch, message in (
        (wide, "expand ratio 6 is not in space 'fmnist'"),
        (Arch(22, good.stages), "resolution 22"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluator.accuracies([good, arch])
