import shutil

import numpy as np
import pytest

from labkit.space.presets import FMNIST, get_space
from labkit.specialize.device_search import accuracy_model
from labkit.supernet import artifacts


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A data folder of its own, with the small artifacts in it."""
    for folder in ("pairs", "predictors", "supernets"):
        shutil.copytree(artifacts.data_dir() / folder, tmp_path / folder)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return tmp_path


def test_nothing_that_ships_is_stale():
    assert artifacts.stale() == []


def test_other_weights_make_pairs_stale_and_other_pairs_the_predictor(copied):
    assert artifacts.stale() == []
    weights = artifacts.supernet_path("fmnist")
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert artifacts.stale() == [
        "pairs/fmnist.npz was made from another supernets/fmnist.safetensors; run `make artifacts`"
    ]
    genes, accuracy, header = artifacts.load_pairs(FMNIST)
    artifacts.write_npz(
        artifacts.pairs_path("fmnist"), header, {"genes": genes[:-1], "accuracy": accuracy[:-1]}
    )
    assert any(line.startswith("predictors/fmnist.npz") for line in artifacts.stale())


def test_shipped_pairs_and_the_predictor_fitted_to_them():
    genes, accuracy, header = artifacts.load_pairs(FMNIST)
    assert len(genes) >= 1000 and len(np.unique(genes, axis=0)) == len(genes)
    assert header["split"] == "val-search"
    predictor, about = artifacts.load_predictor(FMNIST)
    error = np.sqrt(np.mean((predictor(genes) - accuracy) ** 2))
    assert error < accuracy.std()  # it was fitted to these
    held_out = about["held_out"]
    assert (
        held_out["separable"]["rmse"] < held_out["macs-only"]["rmse"] < held_out["constant"]["rmse"]
    )


def test_a_shipped_pair_can_be_measured_again():
    from labkit.data import datasets as data
    from labkit.supernet import weights_file as pretrained
    from labkit.supernet.evaluation import Evaluator

    genes, accuracy, header = artifacts.load_pairs(FMNIST)
    supernet, record = pretrained.load(artifacts.supernet_path("fmnist"))
    evaluator = Evaluator(supernet, data.load(record["config"]["dataset"]), header["split"])
    again = evaluator.accuracy(FMNIST.decode(genes[:1])[0])
    assert abs(again - accuracy[0]) < 0.1  # five images of 5,000, for another machine's rounding


def test_damaged_files_are_named(copied):
    path = artifacts.pairs_path("fmnist")
    whole = path.read_bytes()
    header = artifacts.load_pairs(FMNIST)[2]
    for content in (whole[: len(whole) // 2], b"", b"not a zip"):
        path.write_bytes(content)
        with pytest.raises(
            artifacts.ArtifactError, match="fmnist.npz is not a whole labkit-pairs-1"
        ):
            artifacts.load_pairs(FMNIST)
    artifacts.write_npz(path, {**header, "space": "other"}, {})
    with pytest.raises(artifacts.ArtifactError, match="for space 'other', not 'fmnist'"):
        artifacts.load_pairs(FMNIST)
    artifacts.write_npz(path, {**header, "schema": "labkit-pairs-7"}, {})
    with pytest.raises(artifacts.ArtifactError, match="labkit-pairs-7"):
        artifacts.load_pairs(FMNIST)
    rows = np.zeros((2, FMNIST.num_genes), dtype=np.int8)
    artifacts.write_npz(path, header, {"genes": rows, "accuracy": np.array([101.0, 50.0])})
    with pytest.raises(
        artifacts.ArtifactError, match="accuracy: want 2 percentages, number 0 is 101.0"
    ):
        artifacts.load_pairs(FMNIST)
    for other in (np.array(["90", "91"]), np.array([90.0])):
        artifacts.write_npz(path, header, {"genes": rows, "accuracy": other})
        with pytest.raises(
            artifacts.ArtifactError, match="accuracy: want 2 percentages, got .* of shape"
        ):
            artifacts.load_pairs(FMNIST)
    artifacts.write_npz(path, header, {"genes": rows + 9, "accuracy": np.array([1.0, 50.0])})
    with pytest.raises(artifacts.ArtifactError, match="gene 0 of row 0 is 9"):
        artifacts.load_pairs(FMNIST)
    artifacts.write_npz(path, header, {"genes": np.array([{}], dtype=object), "accuracy": rows})
    with pytest.raises(
        artifacts.ArtifactError, match="not a whole"
    ):  # an object array would be a pickle
        artifacts.load_pairs(FMNIST)
    path.unlink()
    with pytest.raises(artifacts.ArtifactError, match="missing.*make artifacts"):
        artifacts.load_pairs(FMNIST)


def test_a_damaged_predictor_is_named(copied, tmp_path):
    path = artifacts.predictor_path("fmnist")
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for content in (b"", whole[: len(whole) // 2], *(_flipped(whole, rng) for _ in range(60))):
        path.write_bytes(content)
        try:
            artifacts.load_predictor(FMNIST)
        except artifacts.ArtifactError as error:
            assert "fmnist.npz" in str(error)
    path.write_bytes(whole)
    header, arrays = artifacts.read_npz(
        path, "labkit-predictor-1", ["base", "stage0", "stage1", "stage2"], ""
    )
    arrays = dict(zip(("base", "stage0", "stage1", "stage2"), arrays))
    for wrong in (
        {"held_out": None},
        {"held_out": {"separable": {"rmse": "small"}}},
        {"pairs": float("nan")},
        {"pairs": True},
        {"held_out": {"separable": {"rmse": -0.1}}},
    ):
        artifacts.write_npz(path, {**header, **wrong}, arrays)
        with pytest.raises(
            artifacts.ArtifactError, match="fmnist.npz: header: want numbers in pairs and held_out"
        ):
            artifacts.load_predictor(FMNIST)
    one_bad = arrays["stage1"].copy()
    one_bad[
        :, 7
    ] = -50  # of one configuration, which neither the smallest nor the largest subnet has
    for name, wrong, message in (
        ("base", arrays["base"] - 1e6, "predicts from -inf to -inf %"),
        ("stage1", one_bad, "predicts from -.*e.* to 9.* %"),
        ("stage1", one_bad + 100, "predicts from .* to 100 %"),
        ("base", arrays["base"].astype(complex), "want real numbers, got complex128, float"),
    ):
        artifacts.write_npz(path, header, {**arrays, name: wrong})
        with (
            pytest.raises(artifacts.ArtifactError, match=f"fmnist.npz: {message}"),
            np.errstate(over="ignore"),
        ):
            artifacts.load_predictor(FMNIST)
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))  # an array, and no archive of arrays
    with pytest.raises(
        artifacts.ArtifactError, match="fmnist.npz is not a whole labkit-predictor-1"
    ):
        artifacts.load_predictor(FMNIST)


def _flipped(content, rng):
    """`content` with one bit another one."""
    changed = bytearray(content)
    changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def test_a_lost_predictor_is_an_error_and_not_a_synthetic_one(copied):
    artifacts.predictor_path("fmnist").unlink()
    with pytest.raises(
        artifacts.ArtifactError, match="predictors/fmnist.npz is missing.*make artifacts"
    ):
        accuracy_model(FMNIST)
    assert accuracy_model(get_space("ofa-mbv3")).label.startswith(
        "synthetic"
    )  # nothing was measured there


def test_measuring_pairs_goes_on_where_it_was_killed(copied, tmp_path, monkeypatch):
    from labkit.accounting.records import records
    from labkit.supernet.evaluation import Evaluator

    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("labkit.data.datasets.load", lambda name: None)
    monkeypatch.setattr(artifacts, "PAIRS_AT_ONCE", 4)
    measured = []

    class Measures:
        def __init__(self, supernet, dataset, split):
            assert split == "val-search"

        def accuracies(self, archs):
            if len(measured) == 8 and not resumed:
                raise KeyboardInterrupt
            measured.extend(archs)
            return [float(arch.resolution) + len(arch.stages[0]) for arch in archs]

    monkeypatch.setattr("labkit.supernet.evaluation.Evaluator", Measures)
    before = artifacts.pairs_path("fmnist").read_bytes()
    resumed = False
    with pytest.raises(KeyboardInterrupt):
        artifacts.measure_pairs(FMNIST, archs=11, seed=3)
    assert artifacts.pairs_path("fmnist").read_bytes() == before and len(measured) == 8
    resumed = True
    artifacts.measure_pairs(FMNIST, archs=11, seed=3)
    genes, accuracy, header = artifacts.load_pairs(FMNIST)
    archs = FMNIST.decode(genes)
    assert len(measured) == len(set(measured)) == 11 and set(measured) == set(archs)
    assert accuracy.tolist() == [arch.resolution + len(arch.stages[0]) for arch in archs]
    ordered = FMNIST.encode(measured).tolist()
    assert ordered == sorted(ordered)  # neighbors share prefixes
    assert header["cpu_hours"] >= 0 and header["machine"]["cpu"]
    assert [
        record["what"] for record in records("fmnist") if record["source"] == "pairs/fmnist.npz"
    ] == ["pairs"]
    assert not list((tmp_path / "cache" / "pairs").iterdir())
    assert Evaluator is not Measures


def test_partial_pairs_of_other_archs_are_refused(tmp_path):
    rows = artifacts.random_genes(FMNIST, 5, seed=0)
    path = tmp_path / "partial.npz"
    artifacts.write_npz(
        path,
        {"schema": artifacts.PARTIAL, "space": "fmnist", "cpu_seconds": 1.0},
        {"genes": rows, "accuracy": np.full(5, np.nan)},
    )
    assert artifacts._measured_before(path, FMNIST, rows)[1] == 1.0
    with pytest.raises(artifacts.ArtifactError, match="partial.npz holds other archs"):
        artifacts._measured_before(path, FMNIST, artifacts.random_genes(FMNIST, 5, seed=1))


def test_a_damaged_partial_file_says_to_remove_it(tmp_path):
    """It is in the cache: no repository restores it, and another run of `make artifacts` reads it
    again.
    """
    rows = artifacts.random_genes(FMNIST, 5, seed=0)
    path = tmp_path / "partial.npz"
    for header in (
        {"schema": artifacts.PARTIAL, "space": "fmnist"},
        {"schema": "other", "space": "fmnist"},
        None,
    ):
        if header is None:
            path.write_bytes(path.read_bytes()[:100])
        else:
            artifacts.write_npz(path, header, {"genes": rows, "accuracy": np.full(5, np.nan)})
        with pytest.raises(
            artifacts.ArtifactError, match="partial.npz cannot be used .*remove it"
        ) as error:
            artifacts._measured_before(path, FMNIST, rows)
        assert "restore" not in str(error.value)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--pairs", "11"], "11 pairs of space 'fmnist' are too few .* 12 at least"),
        (["--pairs", "-5"], "-5 pairs"),
        (["--space", "mnist"], "unknown space 'mnist', known: fmnist"),
    ],
)
def test_too_few_pairs_leave_those_that_are_there(copied, monkeypatch, options, message):
    before = artifacts.pairs_path("fmnist").read_bytes()
    monkeypatch.setattr(
        artifacts, "measure_pairs", lambda space, archs: artifacts.pairs_path("fmnist").unlink()
    )
    monkeypatch.setattr("sys.argv", ["artifacts", *options])
    with pytest.raises(SystemExit, match=f"labkit: {message}"):
        artifacts.main()
    assert artifacts.pairs_path("fmnist").read_bytes() == before


def test_as_few_pairs_as_are_let_through_can_be_fitted(copied):
    genes, accuracy, header = artifacts.load_pairs(FMNIST)
    few = artifacts.LEAST_PAIRS
    artifacts.write_npz(
        artifacts.pairs_path("fmnist"), header, {"genes": genes[:few], "accuracy": accuracy[:few]}
    )
    artifacts.fit_predictor(FMNIST)
