import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from pictures_for_tests import write_pictures
from trained_for_tests import again, trained_copy  # noqa: F401  (a fixture)

from labkit.adopt.space_proposal import propose
from labkit.adopt.space_template import write_space
from labkit.space import SearchSpace, Stage
from labkit.space.binding import space_fields
from labkit.space.presets import FMNIST
from labkit.storage.npz_file import ArtifactError, write_npz
from labkit.supernet import accuracy_files, accuracy_measurement
from labkit.supernet.accuracy_measurement import fit_predictor, measure, measure_pairs, random_genes
from labkit.supernet.folder import load


def test_measuring_pairs_goes_on_where_it_was_killed(trained, tmp_path, monkeypatch):
    from labkit.accounting.records import records
    from labkit.runtime.distributed import World
    from labkit.supernet.evaluation import Evaluator

    alone = World(0, 1, torch.device("cpu"))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        "labkit.supernet.weights_file.dataset_of", lambda path, record, images: None
    )
    monkeypatch.setattr(accuracy_measurement, "ARCHS_AT_ONCE", 4)
    monkeypatch.setattr(accuracy_measurement, "SHIFT_ARCHS", 6)
    measured = []

    class Measures:
        def __init__(self, supernet, dataset, split):
            self.split, self.labels = split, range(700)

        def accuracies(self, archs):
            if len(measured) == stop:
                raise KeyboardInterrupt
            measured.extend((self.split, arch) for arch in archs)
            easier = {"val-search": 2, "val": 1, "test": 0}[self.split]
            return [float(arch.resolution) + len(arch.stages[0]) + easier for arch in archs]

    monkeypatch.setattr("labkit.supernet.evaluation.Evaluator", Measures)
    pairs_file = trained.path / "pairs.npz"
    before = pairs_file.read_bytes()
    for stop in (8, 15):  # on val-search, and on val
        with pytest.raises(KeyboardInterrupt):
            measure_pairs(trained, 11, 3, False, alone)
        assert pairs_file.read_bytes() == before and len(measured) == stop
    stop = None

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full_disk, pytest.raises(OSError):
        full_disk.setattr(accuracy_measurement.accuracy_files, "write_pairs", full)
        measure_pairs(trained, 11, 3, False, alone)
    assert pairs_file.read_bytes() == before
    measure_pairs(trained, 11, 3, False, alone)
    genes, accuracy, header, unsearched = again(trained).pairs
    archs = FMNIST.decode(genes)
    assert len(measured) == len(set(measured)) == 11 + 6 + 6
    levels = np.array([arch.resolution + len(arch.stages[0]) for arch in archs], dtype=float)
    assert accuracy.tolist() == (levels + 2).tolist()
    assert unsearched["val"].tolist() == (levels[:6] + 1).tolist()
    assert unsearched["test"].tolist() == levels[:6].tolist()
    for split, members in (("val-search", archs), ("val", archs[:6]), ("test", archs[:6])):
        there = [arch for where, arch in measured if where == split]
        assert set(there) == set(members)
        ordered = FMNIST.encode(there).tolist()
        assert ordered == sorted(ordered)  # neighbors share prefixes
    measure_pairs(trained, 11, 3, False, alone)  # as after an interruption of the fit that follows
    assert len(measured) == 23 and again(trained).pairs.accuracy.tolist() == accuracy.tolist()
    assert header["images"] == dict.fromkeys(("val-search", "val", "test"), 700)
    assert header["cpu_hours"] >= 0 and header["machine"]["cpu"]
    assert [
        record["what"]
        for record in records("fmnist")
        if record["source"] == "supernets/fmnist/pairs.npz"
    ] == ["pairs"]
    assert Evaluator is not Measures


def test_partial_pairs_of_other_archs_are_refused(tmp_path):
    rows = random_genes(FMNIST, 5, seed=0)
    path = tmp_path / "partial.npz"
    write_npz(
        path,
        {
            "schema": accuracy_measurement.PARTIAL_SCHEMA,
            **space_fields(FMNIST),
            "seconds": {"cpu": 1.0},
        },
        {"genes": rows, "accuracy": np.full((3, 5), np.nan)},
    )
    assert accuracy_measurement._measured_before(path, FMNIST, rows)[1] == {"cpu": 1.0}
    with pytest.raises(ArtifactError, match="partial.npz holds other archs"):
        accuracy_measurement._measured_before(path, FMNIST, random_genes(FMNIST, 5, seed=1))


def test_a_damaged_partial_file_says_to_remove_it(tmp_path):
    """It is in the cache: no repository restores it, and another run of `labkit measure` reads it
    again.
    """
    rows = random_genes(FMNIST, 5, seed=0)
    path = tmp_path / "partial.npz"
    for header in (
        {"schema": accuracy_measurement.PARTIAL_SCHEMA, **space_fields(FMNIST)},
        {"schema": "other", **space_fields(FMNIST)},
        None,
    ):
        if header is None:
            path.write_bytes(path.read_bytes()[:100])
        else:
            write_npz(path, header, {"genes": rows, "accuracy": np.full((3, 5), np.nan)})
        with pytest.raises(ArtifactError, match="partial.npz cannot be used .*remove it") as error:
            accuracy_measurement._measured_before(path, FMNIST, rows)
        assert "restore" not in str(error.value)


def test_a_small_space_gives_all_the_archs_that_it_has():
    stages = (Stage(8, 2, (1, 2, 3), kernels=(3, 5), expands=(2,)),)
    space = SearchSpace("small", (8, 16), stages, in_channels=3, num_classes=2, stem_width=8)
    for count, found in ((20, 20), (28, 28), (1000, 28)):
        genes = random_genes(space, count, seed=0)
        assert len(genes) == len(np.unique(genes, axis=0)) == found <= space.size() == 28


def test_a_predictor_is_judged_by_as_many_images_as_were_measured_on(trained, monkeypatch):
    """300 images of many classes, of which none, one or two are named rightly."""
    genes, _, header, _ = trained.pairs
    genes = genes[:60]
    counts = np.random.default_rng(0).integers(0, 3, len(genes))
    header = {**header, "images": {"val-search": 300, "val": 300, "test": 300}}
    few = accuracy_files.Pairs(
        genes, counts / 3, header, {"val": counts[:20] / 3, "test": counts[:20] / 3}
    )
    accuracy_files.write_pairs(trained.path, trained.space, few)
    judged = []
    real = accuracy_measurement.separable
    monkeypatch.setattr(
        accuracy_measurement,
        "separable",
        lambda *pairs, images: judged.append(images) or real(*pairs, images=images),
    )
    errors = fit_predictor(again(trained))
    assert judged == [300] and errors["separable"]["rmse"] < 1


@pytest.mark.parametrize("archs", [11, -5])
def test_too_few_pairs_leave_those_that_are_there(trained, monkeypatch, archs):
    pairs_file = trained.path / "pairs.npz"
    before = pairs_file.read_bytes()
    monkeypatch.setattr(accuracy_measurement, "measure_pairs", lambda *_: pairs_file.unlink())
    with pytest.raises(
        ArtifactError, match=f"{archs} pairs of 'fmnist' are too few .* 12 at least"
    ):
        measure(trained, archs)
    assert pairs_file.read_bytes() == before


def test_a_space_of_few_archs_has_no_predictor_and_says_what_to_do(trained, monkeypatch):
    space = SearchSpace("two", (12, 16), (Stage(8, 2, (1,), (3,), (2,)),), 1, 10, 8)
    monkeypatch.setattr(trained, "space", space)
    with pytest.raises(ArtifactError, match="'two' has only 2 subnets, .*labkit evaluate --arch"):
        measure(trained, 30)


def test_as_few_pairs_as_are_let_through_can_be_fitted(trained):
    genes, accuracy, header, unsearched = trained.pairs
    few = accuracy_measurement.FEWEST_PAIRS
    sample = {split: measured[:few] for split, measured in unsearched.items()}
    write_npz(
        trained.path / "pairs.npz",
        header,
        {"genes": genes[:few], "accuracy": accuracy[:few], **sample},
    )
    fit_predictor(again(trained))
    assert again(trained).predictor.header["pairs"] == few


def test_no_error_in_few_images_is_not_perfection(trained):
    """Measured on ten images, 100 % is anything above 95 %."""
    genes, _, header, _ = trained.pairs
    accuracy = np.random.default_rng(0).choice([70.0, 80, 90, 100], 200)
    images = dict.fromkeys(("val-search", "val", "test"), 10)
    write_npz(
        trained.path / "pairs.npz",
        {**header, "images": images},
        {"genes": genes[:200], "accuracy": accuracy, "val": accuracy[:50], "test": accuracy[:50]},
    )
    fit_predictor(again(trained))
    predicted = again(trained).predictor.predict(genes)
    assert 0 < predicted.min() and predicted.max() < 99 and abs(predicted.mean() - 85) < 5


@pytest.mark.slow
def test_the_shipped_predictor_is_fitted_again_to_the_same_numbers(trained):
    before = trained.predictor
    errors = fit_predictor(again(trained))
    after = again(trained).predictor
    for name, scores in before.header["held_out"].items():
        assert errors[name] == pytest.approx(scores, abs=1e-6)
    genes = trained.pairs.genes
    np.testing.assert_allclose(after.predict(genes), before.predict(genes), atol=1e-4)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path, monkeypatch):
    """In a space of somebody's own, with images of a folder."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    write_pictures(tmp_path / "photos", classes=2, per_class=60)
    write_space(tmp_path / "mine.toml", propose("mine", classes=2, channels=3, side=16, width=8))
    for arguments in (
        ["train", "--space", "mine.toml", "--data", "photos", "--out", "one", "--epochs", "1"],
        ["measure", "--supernet", "one", "--pairs", "30"],
    ):
        options = ["--batch", "32"] if arguments[0] == "train" else []
        labkit(tmp_path, sys.executable, "-m", "labkit", *arguments, *options)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for name in ("pairs.npz", "predictor.npz"):
        (tmp_path / "two" / name).unlink()
    ranks = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = ("-m", "labkit", "measure", "--supernet", "two", "--pairs", "30", "--device", "cpu")
    out = labkit(tmp_path, sys.executable, *ranks, *command)
    assert out.count("which is the separable one, are in two") == 1  # the first process says it
    assert not list((tmp_path / "cache" / "pairs").iterdir())  # nothing is left of partial pairs
    one, two = load(tmp_path / "one"), load(tmp_path / "two")
    np.testing.assert_array_equal(two.pairs.genes, one.pairs.genes)
    np.testing.assert_array_equal(two.pairs.accuracy, one.pairs.accuracy)
    genes = one.space.sample(np.random.default_rng(0), 50)
    np.testing.assert_array_equal(two.predictor.predict(genes), one.predictor.predict(genes))


def labkit(folder, *command):
    process = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return process.stdout
