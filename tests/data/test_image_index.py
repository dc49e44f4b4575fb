import math

import pytest
import torch
from pictures_for_tests import write_pictures

from labkit.data import image_index
from labkit.data.decoding import pixels_of
from labkit.data.image_index import index_of
from labkit.data.picture_folder import PictureFolder
from labkit.data.record import DataError, ImageForm
from labkit.storage import tensor_file

FORM = ImageForm(3, 8, "crop")


@pytest.fixture(name="folder")
def picture_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    return write_pictures(tmp_path / "pictures", classes=2, per_class=4)


def no_decoding(monkeypatch):
    monkeypatch.setattr(
        image_index, "pixels_of", lambda *_: pytest.fail("an image is decoded again")
    )


def test_every_image_is_decoded_once(folder, monkeypatch):
    source = PictureFolder(folder)
    index = index_of(source, FORM)
    assert index.labels.tolist() == [0] * 4 + [1] * 4 and not index.problems
    for i in range(8):
        assert torch.equal(index.pixels[i], pixels_of(source.item(i)[0], FORM))
    no_decoding(monkeypatch)
    again = index_of(PictureFolder(folder), FORM)
    assert all(torch.equal(a, b) for a, b in zip(index[:4], again[:4]))


def test_a_change_and_another_form_are_read_anew(folder):
    index_of(PictureFolder(folder), FORM)
    assert index_of(PictureFolder(folder), ImageForm(1, 4, "stretch")).pixels.shape[1:] == (1, 4, 4)
    (folder / "class0" / "000.png").unlink()
    assert len(index_of(PictureFolder(folder), FORM).labels) == 7
    assert len(list((folder.parent / "cache" / "images").glob("*"))) == 2  # one for each form


def test_damaged_images_are_named_and_counted(folder):
    (folder / "class0" / "001.png").unlink()
    (folder / "class0" / "001.png").symlink_to(folder / "nowhere.png")
    whole = (folder / "class1" / "002.png").read_bytes()
    (folder / "class1" / "002.png").write_bytes(whole[: len(whole) // 2])
    source = PictureFolder(folder)
    index = index_of(source, FORM)
    assert index.labels.tolist() == [0, -1, 0, 0, 1, 1, -1, 1]
    report = index.report(source)
    assert report.startswith(
        f"2 of 8 images in {folder} cannot be read and are skipped: class0/001"
    )
    assert "class1/002.png (" in report
    for _ in range(2):  # from the cache as well
        with pytest.raises(
            DataError, match="class0/001.png .*replace or remove it, or leave --str"
        ):
            index_of(source, FORM, strict=True)
    assert index_of(source, FORM).problems == index.problems


def test_a_strict_scan_leaves_nothing_half_read(folder):
    (folder / "class0" / "001.png").write_bytes(b"")
    source = PictureFolder(folder)
    with pytest.raises(DataError, match="class0/001.png"):
        index_of(source, FORM, strict=True)
    assert index_of(source, FORM).labels.tolist() == [0, -1, 0, 0, 1, 1, 1, 1]


def test_a_damaged_cache_is_made_again(folder):
    expected = index_of(PictureFolder(folder), FORM)
    (file,) = (folder.parent / "cache" / "images").glob("*.safetensors")
    for content in (b"half", file.read_bytes()[:-100]):
        file.write_bytes(content)
        assert torch.equal(index_of(PictureFolder(folder), FORM).pixels, expected.pixels)
    tensors, header = tensor_file.read(file)
    for name, unsound in {
        "labels": tensors["labels"][:, None],
        "digests": tensors["digests"][:3],
        "moments": tensors["moments"] * math.nan,
        "pixels": tensors["pixels"][:, :1],
    }.items():
        tensor_file.save(file, {**tensors, name: unsound}, header)
        index = index_of(PictureFolder(folder), FORM)
        assert all(torch.equal(index._asdict()[part], tensors[part]) for part in tensors)


def test_a_set_that_is_too_large_keeps_no_pixels(folder, monkeypatch):
    monkeypatch.setattr(image_index, "RESIDENT_BYTES", 8 * 3 * 8 * 8 - 1)
    index = index_of(PictureFolder(folder), FORM)
    assert index.pixels is None and (index.moments[:, 0, 0] > 0).all()
    monkeypatch.setattr(image_index, "RESIDENT_BYTES", 8 * 3 * 8 * 8)
    assert index_of(PictureFolder(folder), FORM).pixels is not None


def test_a_text_that_is_called_an_image_is_said_to_be_none(folder):
    (folder / "class0" / "002.png").write_text("no image")
    assert index_of(PictureFolder(folder), FORM).problems == (
        "class0/002.png (no image of a known format)",
    )
