"""A predictor of one-hot features and its table predict the same."""

import numpy as np
from spaces_for_tests import WIDE

from labkit.course.story.one_hot_predictor import OneHotFeatures
from labkit.course.story.stand_ins import one_hot


def test_the_table_predicts_what_the_features_do():
    rng = np.random.default_rng(0)
    genes = WIDE.sample(rng, 50)
    features_of = OneHotFeatures(WIDE, one_hot)
    features = features_of(genes)
    blocks = sum(sum(arch.depths) for arch in WIDE.decode(genes))
    assert features.sum() == 2 * blocks + len(genes)  # a kernel and a ratio for each, one choice
    weights = rng.normal(0, 0.1, features.shape[1])

    def predict(rows):
        return 100 - np.exp(1.5 - rows @ weights)

    np.testing.assert_allclose(features_of.table(predict)(genes), predict(features))
