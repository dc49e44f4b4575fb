"""A supernet of several widths, narrowed to the full width, computes and predicts the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from spaces_for_tests import WIDE, make_it_bite

from labkit.course.experiments.full_width import full_width
from labkit.supernet.accuracy_files import AccuracyModel, synthetic_model
from labkit.supernet.supernet import BATCH_STATISTICS, Supernet
from labkit.tables.accuracy_predictor import fit_separable
from labkit.tables.synthetic_accuracy import synthetic_accuracy


@pytest.fixture(scope="module")
def trained() -> SimpleNamespace:
    rng = np.random.default_rng(0)
    genes = WIDE.sample(rng, 80)
    predict = fit_separable(WIDE, genes, synthetic_accuracy(WIDE)(genes), rng=rng)
    return SimpleNamespace(
        name="wide",
        space=WIDE,
        supernet=make_it_bite(Supernet(WIDE).requires_grad_(False)),
        predictor=AccuracyModel(predict, "fitted", 0.1),
    )


def test_archs_of_the_full_width_compute_and_predict_the_same(trained):
    supernet, predict = full_width(trained)
    narrowed = supernet.space
    assert narrowed.widths == (1.0,) and predict.space == narrowed
    archs = narrowed.decode(narrowed.sample(np.random.default_rng(1), 30))
    np.testing.assert_allclose(
        predict(narrowed.encode(archs)), trained.predictor.predict(WIDE.encode(archs))
    )
    for arch in archs[:5]:
        images = torch.randn(4, 1, arch.resolution, arch.resolution)
        expected = trained.supernet(images, arch, BATCH_STATISTICS)
        torch.testing.assert_close(supernet(images, arch, BATCH_STATISTICS), expected)


def test_a_synthetic_predictor_is_refused(trained):
    synthetic = SimpleNamespace(**{**vars(trained), "predictor": synthetic_model(WIDE)})
    with pytest.raises(
        ValueError, match="'wide' has no measured accuracies; its predictor is synthetic:"
    ):
        full_width(synthetic)
