"""Predictors that add up points for each block: those that ship, and files that are none."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from spaces_for_tests import ONE_WIDTH

from labkit.cli.search import search
from labkit.comparison.published_subnets import published_subnets
from labkit.comparison.timed_networks import public_file
from labkit.official.accuracy_mlp import load_mlp
from labkit.space import get_space
from labkit.storage.npz_file import ArtifactError
from labkit.supernet.additive_predictor import (
    FILE,
    read_additive_predictor,
    write_additive_predictor,
)
from labkit.supernet.folder import TrainedSupernet, load
from labkit.tables.costs import AdditiveTable, macs_table
from labkit.tables.predictor_quality import agreement

PART = replace(ONE_WIDTH, resolutions=(20, 28))
SIDES = (160, 176, 192, 208, 224)


@pytest.fixture
def folder(tmp_path):
    table = macs_table(PART).scaled(1e-6, 60)
    write_additive_predictor(tmp_path, table, {"label": "made up", "rmse": 0.5})
    return tmp_path


def test_a_file_gives_the_table_back(folder):
    model = read_additive_predictor(folder, ONE_WIDTH)
    assert (model.label, model.rmse, model.predict.space) == ("made up", 0.5, PART)
    genes = PART.sample(np.random.default_rng(0), 50)
    np.testing.assert_allclose(model.predict(genes), 60 + macs_table(PART)(genes) / 1e6, atol=1e-3)
    assert model.on("val") is model  # nothing is known of how image sets differ
    assert TrainedSupernet(ONE_WIDTH, folder).predictor.label == "made up"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", "another", "schema"),
        ("base", [60.0], "has base"),
        ("base", [60.0, "high"], "could not convert"),
        ("base", [60.0, [1.0]], "inhomogeneous"),
        ("blocks", None, "blocks: want list"),
        ("rmse", "0.5", "rmse"),
        ("label", 3, "label"),
        ("space_sha256", "0" * 64, "was made for space"),
    ],
)
def test_a_damaged_file_is_named(folder, field, value, message):
    content = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**content, field: value}))
    with pytest.raises(ArtifactError, match=message) as raised:
        read_additive_predictor(folder, ONE_WIDTH)
    assert str(folder / FILE) in str(raised.value)


def test_entries_that_are_no_numbers_are_refused(folder):
    text = (folder / FILE).read_text()
    (folder / FILE).write_text(text.replace(" 60.", " NaN, 60.", 1))
    with pytest.raises(ArtifactError, match="NaN is not a finite number"):
        read_additive_predictor(folder, ONE_WIDTH)


def test_a_predictor_of_another_space_is_refused(folder):
    for space in (replace(PART, resolutions=(20,)), replace(ONE_WIDTH, num_classes=9)):
        with pytest.raises(ArtifactError, match="no part of 'one-width'"):
            read_additive_predictor(folder, space)


def test_the_part_of_a_table_is_the_table_of_the_part():
    part = macs_table(ONE_WIDTH).part(PART)
    assert isinstance(part, AdditiveTable) and part.space == PART
    np.testing.assert_array_equal(part.base, macs_table(PART).base)
    np.testing.assert_array_equal(part.blocks, macs_table(PART).blocks)
    assert ONE_WIDTH.covers(PART) and not PART.covers(ONE_WIDTH)
    assert not ONE_WIDTH.covers(replace(PART, num_classes=9))


@pytest.mark.parametrize(
    ("name", "label"),
    [("ofa-mbv3-w1.2", "fitted to OFA's own predictor"), ("ofa-mbv3", "transferred from ofa-mbv3")],
)
def test_the_papers_spaces_have_one_for_160_to_224_px(name, label):
    model = load(name).predictor
    assert model.label.startswith(label)
    assert model.predict.space == replace(get_space(name), resolutions=SIDES)
    space = model.predict.space
    low, high = model.predict(space.encode([space.smallest(), space.largest()]))
    assert 69 < low < 72 and 78.5 < high < 81
    with pytest.raises(ValueError, match="resolution 128 is not in space"):
        space.encode([get_space(name).smallest()])


def test_the_shipped_one_is_as_near_to_the_original_as_it_says():
    path = public_file("ofa/acc_predictor.pth")
    if path is None:
        pytest.skip("the public data is not at hand (LABKIT_SHARED)")
    model, mlp = load("ofa-mbv3-w1.2").predictor, load_mlp(path)
    genes = mlp.space.sample(np.random.default_rng(12), 3000)  # not those of the fit
    scores = agreement(model.predict(genes), mlp(genes) - model.header["measured"]["shift"])
    claimed = model.header["against_original"]["all"]
    assert scores["rmse"] == pytest.approx(claimed["rmse"], abs=0.02)
    assert scores["kendall_tau"] == pytest.approx(claimed["kendall_tau"], abs=0.02)


def test_the_shift_of_the_shipped_one_leaves_no_mean_error_on_the_measured_subnets():
    model = load("ofa-mbv3-w1.2").predictor
    published = {subnet.name: subnet for subnet in published_subnets()}
    subnets = [published[name] for name in model.header["measured"]["subnets"]]
    measured = np.array([subnet.top1 for subnet in subnets])
    genes = model.predict.space.encode([subnet.arch for subnet in subnets])
    errors = model.predict(genes) - measured
    assert len(subnets) == 4 and abs(errors.mean()) < 0.001
    others = [np.delete(errors, i).mean() for i in range(4)]  # what the shift lacks without one
    assert np.sqrt(np.mean((errors - others) ** 2)) == pytest.approx(model.rmse, abs=0.001)


def test_a_search_says_which_resolutions_it_searched():
    arguments = ["--supernet", "ofa-mbv3-w1.2", "--device", "note10-class", "--method", "exact"]
    limits = ["--max-latency-ms", "30"]
    text = CliRunner().invoke(search, [*arguments, *limits]).output
    assert (
        "predicted (fitted to OFA's own predictor, 0.19 points RMSE from it, less the 4.18" in text
    )
    assert "160, 176, 192, 208, 224 px; the predictor says nothing of 128, 144 px" in text
    answer = json.loads(CliRunner().invoke(search, [*arguments, *limits, "--json"]).output)
    assert answer["resolutions"] == list(SIDES) and answer["arch"]["resolution"] in SIDES
    assert answer["latency_ms"] <= 30 and 76 < answer["predicted_accuracy"] < 79
