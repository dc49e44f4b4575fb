"""A trained supernet as a folder and a value, and what happens when its space is another one."""

import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from pictures_for_tests import write_pictures
from trained_for_tests import again, trained_copy  # noqa: F401  (a fixture)

from labkit.adopt.space_template import write_space
from labkit.data import datasets
from labkit.data.record import DataError, ImageForm
from labkit.latency.measured import latency_file
from labkit.latency.measured.untrusted_json import TableError
from labkit.space import SearchSpace, Stage, get_space, spaces
from labkit.space.presets import FMNIST
from labkit.storage import tensor_file
from labkit.storage.npz_file import ArtifactError
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet import accuracy_files, weights_file
from labkit.supernet.folder import TrainedSupernet, load
from labkit.supernet.supernet import Supernet

ROOT = Path(__file__).parents[2]


def test_a_shipped_supernet_knows_all_that_belongs_to_it():
    shipped = load("fmnist")
    assert (shipped.name, shipped.space, shipped.missing()) == ("fmnist", FMNIST, {})
    assert shipped.dataset_record == datasets.load("fashion-mnist").record
    assert shipped.dataset_record.splits["val-search"] == 5000
    assert shipped.dataset is datasets.load("fashion-mnist")
    assert shipped.supernet.space == FMNIST and shipped.supernet is shipped.supernet
    assert shipped.record["curve"] and shipped.predictor.rmse < 0.4
    assert shipped.predictor.label == "fitted to 1000 measured subnets"


def test_a_folder_is_a_supernet_like_a_shipped_one(trained, tmp_path, monkeypatch):
    mine = tmp_path / "runs" / "mine"
    shutil.copytree(trained.path, mine)
    monkeypatch.chdir(tmp_path)
    for name in ("runs/mine", mine):
        value = load(name)
        assert (value.name, value.space) == ("mine", FMNIST)
        np.testing.assert_array_equal(value.pairs.genes, trained.pairs.genes)
        assert value.predictor.rmse == trained.predictor.rmse
    (mine / "pairs.npz").unlink()
    (mine / "predictor.npz").unlink()
    value = load(mine)
    assert list(value.missing()) == ["pairs.npz", "predictor.npz"]
    assert value.missing()["pairs.npz"] == f"make it with `labkit measure --supernet {mine}`"
    with pytest.raises(ArtifactError, match="predictor.npz is missing; .*labkit measure .*mine"):
        value.predictor  # noqa: B018


@pytest.mark.parametrize("name", ["./fmnist", "fmnist/", "."])
def test_a_path_is_never_what_ships_under_that_name(trained, tmp_path, monkeypatch, name):
    mine = tmp_path / "fmnist"
    shutil.copytree(trained.path, mine)
    monkeypatch.chdir(mine if name == "." else tmp_path)
    assert load(name).path.resolve() == mine
    assert load("fmnist").path == trained.path


def test_a_supernet_that_ships_under_a_name_of_its_own_is_loaded_by_it(trained):
    shutil.copytree(trained.path, trained.path.with_name("wide"))
    assert load("wide").space == FMNIST and load("wide").name == "wide"
    with pytest.raises(ValueError, match="unknown supernet 'thin', known: fmnist, .*, wide; or"):
        load("thin")


def test_a_space_in_which_nothing_was_trained_is_a_value_without_weights(tmp_path):
    untrained = load("ofa-mbv3")
    assert not untrained.is_trained and len(untrained.missing()) == 3
    with pytest.raises(
        CheckpointError,
        match="ofa-mbv3/supernet.safetensors does not exist.*`labkit weights fetch ofa-mbv3`",
    ):
        untrained.supernet  # noqa: B018
    with pytest.raises(CheckpointError, match="`labkit train --space cifar10 --out .*cifar10`"):
        TrainedSupernet(get_space("cifar10"), tmp_path / "cifar10").record  # noqa: B018


def test_accuracies_are_never_invented_unless_asked_for(tmp_path, monkeypatch):
    with pytest.raises(ArtifactError, match="'ofa-proxyless-w1.3'.*does not exist.*synthetic"):
        load("ofa-proxyless-w1.3").predictor  # noqa: B018
    invented = load("ofa-mbv3", predictor="synthetic").predictor
    assert invented.label.startswith("synthetic") and invented.rmse is None
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    (tmp_path / "devices").mkdir()  # as where a part of the data did not come along
    with pytest.raises(ArtifactError, match=f"no accuracies.*'fmnist', because {tmp_path}"):
        load("fmnist").predictor  # noqa: B018
    with pytest.raises(ValueError, match="unknown predictor 'real', known: measured, synthetic"):
        load("fmnist", predictor="real")


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="supernet.safetensors does not exist.*labkit train"):
        load(tmp_path)


SPACE_EDITS = {
    "resolutions": (16, 24, 28),
    "in_channels": 3,
    "num_classes": 11,
    "stem_width": 2 * FMNIST.stem_width,
    "stem_stride": 3 - FMNIST.stem_stride,
    "stem_act": "relu6",
    "first_width": 24,
    "first_act": "relu6",
    "final_width": 72,
    "feature_width": 72,
    "head_act": "relu6",
    "bn_eps": 1e-3,
    "widths": (0.5, 0.75, 1.0),
    "divisor": 8,
}
STAGE_EDITS = {
    "width": 2 * FMNIST.stages[1].width,
    "stride": 3 - FMNIST.stages[1].stride,
    "depths": (1, 3),
    "kernels": (3, 9),
    "expands": (2, 3, 6),
    "act": "relu6",
    "se": not FMNIST.stages[1].se,
}


def test_the_edits_are_of_all_fields_but_the_name():
    assert {*SPACE_EDITS, "name", "stages"} == {field.name for field in fields(SearchSpace)}
    assert {*STAGE_EDITS} == {field.name for field in fields(Stage)}


@pytest.mark.parametrize("field", [*SPACE_EDITS, *(f"stage {name}" for name in STAGE_EDITS)])
def test_an_edited_space_is_refused_everywhere(trained, monkeypatch, field):
    first, second, *others = FMNIST.stages
    if field in SPACE_EDITS:
        edited = replace(FMNIST, **{field: SPACE_EDITS[field]})
    else:
        name = field.removeprefix("stage ")
        second = replace(second, **{name: STAGE_EDITS[name]})
        edited = replace(FMNIST, stages=(first, second, *others))
    table = ROOT / "data" / "latency" / "epyc-1core" / "fmnist.json"
    with pytest.raises(TableError, match=f"{FMNIST.digest[:12]}.*{edited.digest[:12]}.*measure"):
        latency_file.read(table, edited)
    monkeypatch.setitem(spaces, "fmnist", edited)
    value = load("fmnist")
    version, other = (rf"'fmnist' \({space.digest[:12]}\)" for space in (FMNIST, edited))
    for read in (lambda: value.supernet, lambda: value.record):
        with pytest.raises(CheckpointError, match=f"space {version}, not {other}.* train it again"):
            read()
    folder = value.path.rename(value.path.with_name("other"))
    assert load(folder).supernet.space == FMNIST, "by its path: the space that the weights carry"
    value = TrainedSupernet(edited, folder)
    for read, file in ((lambda: value.pairs, "pairs"), (lambda: value.predictor, "predictor")):
        message = f"{file}.npz was made for space {version}, not for space {other}.*labkit measure"
        with pytest.raises(ArtifactError, match=message):
            read()


def test_another_space_is_refused_by_weights_that_are_sound(trained):
    value = TrainedSupernet(replace(FMNIST, name="mine"), trained.path)
    with pytest.raises(CheckpointError, match=r"of space 'fmnist' \(977e041ea043\), not 'mine'"):
        value.supernet  # noqa: B018


def test_weights_say_what_they_were_trained_on_or_are_refused(trained, monkeypatch):
    tensors, header = tensor_file.read(trained.weights_path)
    tensor_file.save(trained.weights_path, tensors, {**header, "dataset": {"name": 3}})
    with pytest.raises(CheckpointError, match="header: field dataset.name: want str, got 3"):
        again(trained).dataset_record  # noqa: B018
    other = {**header["dataset"], "mean": [0.5]}
    tensor_file.save(trained.weights_path, tensors, {**header, "dataset": other})
    with pytest.raises(CheckpointError, match=r"mean \(0.5,\), here \(0.286,\)"):
        again(trained).dataset  # noqa: B018
    weights_file.save(trained.weights_path, Supernet(FMNIST), {"source": {}})
    with pytest.raises(CheckpointError, match="does not say which data set"):
        again(trained).dataset  # noqa: B018


def test_a_value_is_read_without_torch_unless_its_weights_are_asked_for():
    program = (
        "import sys, labkit\ntrained = labkit.load('fmnist')\n"
        "trained.pairs, trained.predictor, trained.record, trained.dataset_record\n"
        "print(sorted(set(sys.modules) & {'torch', 'onnx', 'onnxruntime'}))\n"
        "trained.supernet\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\nTrue\n", done.stderr


def test_two_spaces_of_one_name_never_share_a_file(tmp_path, monkeypatch):
    """What is measured of the one is neither read nor overwritten for the other."""
    from labkit.space.binding import file_stem

    other = replace(FMNIST, stem_act="relu6")
    assert file_stem(FMNIST) != file_stem(other)
    sample = {split: np.array([90.0, 91]) for split in ("val", "test")}
    header = {"inputs": {}, "images": {"val-search": 5000, "val": 5000, "test": 10_000}}
    pairs = accuracy_files.Pairs(
        FMNIST.sample(np.random.default_rng(0), 3), np.array([90.0, 91, 92]), header, sample
    )
    accuracy_files.write_pairs(tmp_path, FMNIST, pairs)
    assert len(TrainedSupernet(FMNIST, tmp_path).pairs.genes) == 3
    with pytest.raises(ArtifactError, match="pairs.npz was made for space 'fmnist'"):
        TrainedSupernet(other, tmp_path).pairs  # noqa: B018


OWN = SearchSpace(
    name="mine",
    resolutions=(8, 12),
    in_channels=3,
    num_classes=3,
    stem_width=8,
    stages=(Stage(8, 2, (1, 2), kernels=(3,), expands=(2, 3)),),
)


@pytest.fixture(name="own_folder")
def folder_of_an_own_space(tmp_path, monkeypatch):
    """Weights (untrained) of a space that nothing knows by name, and of images in a folder."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    images = write_pictures(tmp_path / "photos", classes=3, per_class=10)
    record = datasets.load(images, ImageForm(3, 12)).record
    weights_file.save(
        tmp_path / "run" / "supernet.safetensors", Supernet(OWN), {"dataset": record.to_json()}
    )
    return tmp_path / "run"


def test_a_space_travels_in_its_weights(own_folder):
    value = load(own_folder)
    assert value.space == OWN and value.supernet.space == OWN
    assert value.dataset_record.form == ImageForm(3, 12)
    assert value.dataset.splits["val"].images.shape == (3, 3, 12, 12)


def test_a_definition_that_is_not_that_of_the_digest_is_refused(own_folder):
    path = own_folder / "supernet.safetensors"
    tensors, header = tensor_file.read(path)
    edited = {**header["space_definition"], "bn_eps": 1e-3}
    tensor_file.save(path, tensors, {**header, "space_definition": edited})
    with pytest.raises(CheckpointError, match="supernet.safetensors was made for space 'mine'"):
        load(own_folder)
    damaged = {**header["space_definition"], "stages": 3}
    tensor_file.save(path, tensors, {**header, "space_definition": damaged})
    with pytest.raises(CheckpointError, match="space_definition: field stages: want list, got 3"):
        load(own_folder)


def test_a_space_file_is_a_value_without_weights(tmp_path):
    write_space(tmp_path / "mine.toml", OWN)
    value = load(tmp_path / "mine.toml")
    assert value.space == OWN and not value.is_trained
    assert value.missing()["supernet.safetensors"].startswith(
        f"make it with `labkit train --space {tmp_path}/mine.toml --data FOLDER --out runs/mine`"
    )


def test_images_may_move_but_must_be_the_same(own_folder, tmp_path):
    moved = (tmp_path / "photos").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="are not in .*photos; say where they are now"):
        load(own_folder).dataset  # noqa: B018
    assert len(load(own_folder, images=moved).dataset.splits["test"].labels) == 3
    next((moved / "class1").iterdir()).unlink()
    with pytest.raises(CheckpointError, match="splits {.*}, here {.*}; restore the images, or"):
        load(own_folder, images=moved).dataset  # noqa: B018
