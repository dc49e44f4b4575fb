"""What one notebook keeps is what the next one uses; what is damaged or of another space is not."""

import numpy as np
import pytest

from labkit import build_table, fit_separable, get_device, load
from labkit.course.exercises.message_lines import WIDTH
from labkit.course.story import results_folder
from labkit.latency.measured import latency_file
from labkit.space import get_space

SPACE = get_space("fmnist")


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_RESULTS", str(tmp_path))
    monkeypatch.delenv("PYTEST_VERSION")
    return tmp_path


def measured():
    value = latency_file.read(get_device("epyc-1core").files["fmnist"], SPACE)
    del value["device"]  # which a table has that is kept as a device's
    return value


def test_the_table_of_one_notebook_is_searched_in_the_next(capsys):
    results_folder.keep_table(measured(), SPACE)
    device = results_folder.your_device(SPACE, otherwise="pi4")
    genes = SPACE.sample(np.random.default_rng(0), 20)
    own, expected = device.latency_table(SPACE), build_table(measured(), SPACE).table
    np.testing.assert_allclose(own(genes), expected(genes))
    assert device.label.startswith("measured")
    assert "the one that you measured: your machine" in capsys.readouterr().out


def test_without_a_table_the_other_device_is_searched_and_it_says_so(capsys):
    assert results_folder.your_device(SPACE, otherwise="pi4") == get_device("pi4")
    said = capsys.readouterr().out
    assert "Raspberry Pi 4" in said and max(map(len, said.splitlines())) <= WIDTH


@pytest.mark.parametrize("harm", ["cut", "negative"])
def test_a_damaged_table_is_not_searched(harm, folder, capsys):
    results_folder.keep_table(measured(), SPACE)
    (path,) = folder.iterdir()
    text = path.read_text()
    if harm == "cut":
        path.write_text(text[:1000])
    else:
        path.write_text(text.replace('"median_ms": ', '"median_ms": -', 1))
    assert results_folder.your_device(SPACE, otherwise="pi4").name == "pi4"
    assert path.name in capsys.readouterr().out


def test_nbval_neither_reads_nor_writes_results(folder, monkeypatch):
    results_folder.keep_table(measured(), SPACE)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setenv("PYTEST_VERSION", "9")
    assert results_folder.your_device(SPACE, otherwise="pi4").name == "pi4"
    results_folder.keep_table({}, SPACE)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_predictor_of_one_notebook_is_used_in_the_next(capsys):
    trained = load("fmnist")
    genes, accuracy, _, unsearched = trained.pairs
    rng = np.random.default_rng(0)
    predictor = fit_separable(SPACE, genes[:60], accuracy[:60], rng=rng)
    results_folder.keep_predictor(predictor, 60, 0.9)
    model = results_folder.your_model(trained, "val")
    expected = predictor.shifted(trained.predictor.shifts["val"])(genes)
    np.testing.assert_allclose(model.predict(genes), expected)
    miss = expected[: len(unsearched["val"])] - unsearched["val"]
    assert model.rmse == pytest.approx(np.sqrt((miss**2).mean()))
    assert "yours: fitted by you to 60 measured subnets" in capsys.readouterr().out


def test_a_damaged_predictor_is_not_used(folder, capsys):
    trained = load("fmnist")
    expected = trained.predictor.on("val").label
    assert results_folder.your_model(trained, "val").label == expected
    results_folder.keep_predictor(trained.predictor.predict, 1000, 0.4)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:500])
    assert results_folder.your_model(trained, "val").label == expected
    assert "yours cannot be used" in capsys.readouterr().out
