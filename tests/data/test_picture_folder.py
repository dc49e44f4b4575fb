import os
import shutil
import tracemalloc

import numpy as np
import pytest
from pictures_for_tests import write_pictures
from PIL import Image

from labkit.data.picture_folder import PictureFolder, survey
from labkit.data.record import DataError


def test_classes_are_the_sub_folders(tmp_path):
    write_pictures(tmp_path, classes=3, per_class=4)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "class0" / "notes.txt").write_text("no picture")
    folder = PictureFolder(tmp_path)
    assert folder.classes == ("class0", "class1", "class2") and len(folder) == 12
    assert folder.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 and set(folder.parts) == {"all"}
    picture, label, digest = folder.item(5)
    assert label == 1 and len(digest) == 16 and picture.mode == "RGB"
    assert folder.name_of(5) == "class1/001.png"


def test_parts_are_read_where_they_are(tmp_path):
    for part, count in (("train", 5), ("val", 2), ("test", 3)):
        write_pictures(tmp_path / part, classes=2, per_class=count)
    folder = PictureFolder(tmp_path)
    counts = {part: int((folder.parts == part).sum()) for part in ("train", "val", "test")}
    assert counts == {"train": 10, "val": 4, "test": 6} and folder.classes == ("class0", "class1")


def test_a_class_may_be_called_train(tmp_path):
    write_pictures(tmp_path, classes=2, per_class=3)
    (tmp_path / "class0").rename(tmp_path / "train")
    assert PictureFolder(tmp_path).classes == ("class1", "train")


def test_a_version_changes_with_the_files(tmp_path):
    write_pictures(tmp_path, classes=2, per_class=3)
    before = PictureFolder(tmp_path).version
    assert PictureFolder(tmp_path).version == before
    Image.new("RGB", (9, 9)).save(tmp_path / "class0" / "000.png")
    assert PictureFolder(tmp_path).version != before


def empty_class(path):
    (path / "class9").mkdir()


def one_class(path):
    for name in ("class1", "class2"):
        for file in (path / name).iterdir():
            file.unlink()
        (path / name).rmdir()


def stray_part(path):
    (path / "train").mkdir()
    (path / "class0").rename(path / "train" / "class0")


def flat(path):
    for file in sorted(path.glob("class*/*")):
        file.rename(path / f"{file.parent.name}-{file.name}")
    for folder in path.glob("class*"):
        if folder.is_dir():
            folder.rmdir()


def other_classes(path):
    (path / "train").mkdir()
    (path / "val").mkdir()
    for i in range(3):
        (path / f"class{i}").rename(path / "train" / f"class{i}")
    write_pictures(path / "val", classes=4, per_class=1)


def splits_of_other_names(path):
    for name in ("Training", "Testing"):
        write_pictures(path / name, classes=3, per_class=1)
    for i in range(3):
        shutil.rmtree(path / f"class{i}")


def split_without_a_class(path):
    splits_of_other_names(path)
    (path / "Training").rename(path / "Train")
    (path / "Testing").rename(path / "Test")
    shutil.rmtree(path / "Test" / "class1")


def splits_in_a_wrapper(path):
    splits_of_other_names(path)
    for old, new in (("Training", "seg_train"), ("Testing", "seg_test")):
        (path / new).mkdir()
        (path / old).rename(path / new / new)


def one_split_of_another_name(path):
    splits_of_other_names(path)
    (path / "Training").rename(path / "training")
    (path / "Testing").rename(path / "holdout")


def no_text(path):
    try:
        (path / "class0").rename(path / os.fsdecode(b"caf\xe9"))
    except OSError:
        pytest.skip("names of files are always text here")


@pytest.mark.parametrize(
    "change, message",
    [
        (splits_of_other_names, "Testing, Training: if they are splits, call them train, val"),
        (split_without_a_class, "Test, Train: if they are splits, call them train, val"),
        (splits_in_a_wrapper, "seg_test, seg_train: if they are splits, call them train, val"),
        (one_split_of_another_name, "holdout, training: if they are splits, call them train, val"),
        (no_text, r"class b'caf.xe9' in .* is no text in UTF-8; rename"),
        (empty_class, "class 'class9' has no images in .*class9; add some"),
        (one_class, r"has 1 class \(class0\); wanted are at least two"),
        (stray_part, "has the sub-folders class1, class2, train; wanted are train"),
        (flat, "is no folder of images"),
        (other_classes, "val has other classes than .*train: 'class3' is only in one"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_no_data_set_is_an_error_that_says_what_is_wanted(tmp_path, change, message):
    write_pictures(tmp_path, classes=3, per_class=2)
    change(tmp_path)
    with pytest.raises(DataError, match=message):
        PictureFolder(tmp_path)


def test_classes_may_have_the_same_folders(tmp_path):
    for label in ("cat", "dog"):
        write_pictures(tmp_path / label, classes=2, per_class=1)
    assert PictureFolder(tmp_path).classes == ("cat", "dog")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="gone is no folder"):
        PictureFolder(tmp_path / "gone")


def test_a_survey_says_channels_and_size(tmp_path):
    write_pictures(tmp_path / "color", classes=2, per_class=5)
    sides = [min(Image.open(path).size) for path in (tmp_path / "color").glob("*/*")]
    assert survey(PictureFolder(tmp_path / "color")) == (3, int(np.median(sides)) // 8 * 8)
    for label in "ab":
        (tmp_path / "gray" / label).mkdir(parents=True)
        Image.new("L", (500, 400)).save(tmp_path / "gray" / label / "1.png")
    assert survey(PictureFolder(tmp_path / "gray")) == (1, 224)
    for file in (tmp_path / "gray").glob("*/*"):
        file.write_bytes(b"damaged")
    with pytest.raises(DataError, match="can be read"):
        survey(PictureFolder(tmp_path / "gray"))


def test_a_survey_passes_over_what_pil_refuses_in_its_own_ways(tmp_path, monkeypatch):
    write_pictures(tmp_path, classes=2, per_class=2)
    Image.new("L", (60, 60)).save(tmp_path / "class0" / "large.png")
    (tmp_path / "class0" / "cut.png").write_bytes(
        (tmp_path / "class0" / "000.png").read_bytes()[:20]
    )
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 45 * 40 // 2)  # twice as many raise an error
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "class0" / "large.png")
    with pytest.warns(Image.DecompressionBombWarning):
        assert survey(PictureFolder(tmp_path))[0] == 3


def test_gray_of_sixteen_bits_is_gray_in_either_order_of_bytes(tmp_path):
    for label, mode in (("a", "I;16"), ("b", "I;16B")):
        (tmp_path / label).mkdir()
        Image.frombytes(mode, (9, 9), bytes(162)).save(tmp_path / label / "1.tif")
    assert survey(PictureFolder(tmp_path)) == (1, 8)


def test_pictures_of_all_formats_that_are_read(tmp_path):
    write_pictures(tmp_path, classes=2, per_class=1)
    for name in ("a.gif", "b.jfif", "c.TGA", "d.jp2", "e.webp"):
        image = Image.open(tmp_path / "class0" / "000.png")
        image.save(tmp_path / "class0" / name, "JPEG" if name == "b.jfif" else None)
    assert len(PictureFolder(tmp_path)) == 7


def test_names_of_any_kind_and_nothing_hidden(tmp_path):
    names = ["ünïcode 写真.PNG", "with space.png", "_DSC0001.png", "deeper/below.png"]
    write_pictures(tmp_path, classes=2, per_class=1)
    image = (tmp_path / "class0" / "000.png").read_bytes()
    (tmp_path / "class0" / "deeper").mkdir()
    for name in [*names, "._000.png", ".DS_Store", ".hidden.png"]:
        (tmp_path / "class0" / name).write_bytes(image)
    (tmp_path / "class0" / "deeper" / "circle").symlink_to(tmp_path / "class0")
    (tmp_path / "class2").symlink_to(tmp_path / "class1")
    folder = PictureFolder(tmp_path)
    expected = [f"class0/{name}" for name in ["000.png", *names]] + [
        "class1/000.png",
        "class2/000.png",
    ]
    assert [folder.name_of(i) for i in range(len(folder))] == sorted(expected, key=os.fsencode)
    assert folder.classes == ("class0", "class1", "class2")
    assert all(folder.item(i)[0].format == "PNG" for i in range(len(folder)))


def names_in(path) -> list[str]:
    folder = PictureFolder(path)
    return [folder.name_of(i) for i in range(len(folder))]


@pytest.mark.parametrize("target", [".", "..", "class1", "class1/deeper", "class0", "class0/b"])
def test_a_link_to_what_lies_in_a_class_or_around_it_adds_nothing(tmp_path, target):
    """A class has its own images, under their own names."""
    root = write_pictures(tmp_path / "photos", classes=2, per_class=2)
    for name in ("class0/b", "class1/deeper"):
        (root / name).mkdir()
        Image.new("RGB", (9, 9)).save(root / name / "1.png")
    expected = names_in(root)
    for link in ("class0/a", "class0/b/c", "class1/z"):
        (root / link).symlink_to(root / target)
    assert names_in(root) == expected and len(expected) == 6


def test_parts_do_not_take_from_each_other(tmp_path):
    for part in ("train", "val", "test"):
        write_pictures(tmp_path / part, classes=2, per_class=2)
    expected = names_in(tmp_path)
    (tmp_path / "test" / "class0" / "more").symlink_to(tmp_path / "train")
    (tmp_path / "test" / "class1" / "more").symlink_to(tmp_path / "train" / "class1")
    assert names_in(tmp_path) == expected


def test_a_folder_outside_is_read_once_under_the_first_of_its_names(tmp_path, monkeypatch):
    """Whatever order the file system lists them in, and however they are linked to each other."""
    root = write_pictures(tmp_path / "photos", classes=2, per_class=1)
    store = write_pictures(tmp_path / "store", classes=3, per_class=1)
    for name in ("y", "x", "w"):
        (root / "class1" / name).symlink_to(store)
    (root / "class1" / "a").symlink_to(store / "class2")
    for i in range(3):
        for j in range(3):
            (store / f"class{i}" / f"to{j}").symlink_to(store / f"class{j}")
    names = names_in(root)
    assert names == [
        "class0/000.png",
        "class1/000.png",
        "class1/a/000.png",  # the first link leads to class2 of the store, the next to all of it
        "class1/w/class0/000.png",
        "class1/w/class1/000.png",
    ]
    walk = os.walk

    def backwards(top, **options):
        for place, folders, files in walk(top, **options):
            folders.sort(reverse=True)
            yield place, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert names_in(root) == names


def test_a_link_beside_the_classes_to_what_they_lie_in_is_no_class(tmp_path):
    root = write_pictures(tmp_path / "photos", classes=2, per_class=1)
    (root / "loop").symlink_to(root)
    (root / "up").symlink_to("..")
    assert names_in(root) == ["class0/000.png", "class1/000.png"]


def test_images_in_hidden_folders_do_not_count(tmp_path):
    root = write_pictures(tmp_path, classes=2, per_class=1)
    for name in (".thumbnails", "__MACOSX", "deeper/.cache", "_shown", "@eaDir"):
        (root / "class0" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(root / "class0" / name / "1.png")
    shown = ["class0/000.png", "class0/@eaDir/1.png", "class0/_shown/1.png", "class1/000.png"]
    assert names_in(root) == shown


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    root, scandir = write_pictures(tmp_path, classes=2, per_class=1), os.scandir
    (root / "class0" / "locked").mkdir()

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match="locked cannot be read: Permission denied"):
        PictureFolder(root)


def test_a_picture_takes_few_bytes(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(2000):
            (tmp_path / label / f"IMG_{i:016}.JPEG").touch()
    tracemalloc.start()
    folder = PictureFolder(tmp_path)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(folder) == 4000 and held < 64 * len(folder)
