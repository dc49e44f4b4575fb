"""Downloads from a server on this machine that is well, cuts connections, lies, or means harm."""

import hashlib
import io
import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from server_for_tests import Server, file_server  # noqa: F401  (a fixture)

from labkit.official import conversion as official
from labkit.official import download, layer_names
from labkit.official import published_weights as weights
from labkit.official.download import FetchError
from labkit.space.presets import get_space
from labkit.storage.errors import LabError
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet.supernet import Supernet

# ---- download ----

BODY = bytes(range(256)) * 4000  # 1,024,000 bytes


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.part"


def test_a_whole_file(server, partial):
    server.files["file"] = BODY
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY
    assert [path.name for path in partial.parent.iterdir()] == ["file.part"]


def test_cut_connections_are_resumed(server, partial):
    server.files["file"], server.cut = BODY, 400_000
    download.download(server.url("file"), partial, attempts=3, progress=False)
    assert partial.read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None, "bytes=400000-", "bytes=800000-"]


def test_a_full_disk_is_named(server, partial):
    class Full(io.BytesIO):
        def write(self, content):
            raise OSError(28, "No space left on device")

    server.files["file"] = BODY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "open", lambda *_: Full(), raising=False)
        with pytest.raises(OSError, match="cannot write .*file.part: No space left on device"):
            download.download(server.url("file"), partial, progress=False)
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY


def test_killed_where_another_version_begins_no_two_are_joined(server, partial, monkeypatch):
    server.files["file"], server.cut = BODY, 400_000
    with pytest.raises(download.Interrupted):
        download.download(server.url("file"), partial, attempts=1, progress=False)
    server.files["file"], server.cut = BODY[::-1], None
    with monkeypatch.context() as killed:
        killed.setattr(download, "_receive", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            download.download(server.url("file"), partial, progress=False)
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY[::-1]


def test_an_interrupted_download_goes_on_later(server, partial):
    server.files["file"], server.cut = BODY, 100_000
    with pytest.raises(download.Interrupted, match="ended after 200000 of 1024000 bytes"):
        download.download(server.url("file"), partial, attempts=2, progress=False)
    server.cut = None
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY
    assert server.requests[-1] == ("file", "bytes=200000-")


def test_two_versions_are_never_joined(server, partial):
    server.files["file"], server.cut = BODY, 100_000
    with pytest.raises(download.Interrupted):
        download.download(server.url("file"), partial, attempts=1, progress=False)
    server.files["file"], server.cut = BODY[::-1], None
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY[::-1]


@pytest.mark.parametrize("ranges, etags", [(False, True), (True, False)])
def test_a_server_that_cannot_resume_sends_it_all_again(server, partial, ranges, etags):
    server.files["file"], server.cut, server.ranges, server.etags = BODY, 100_000, ranges, etags
    with pytest.raises(download.Interrupted):
        download.download(server.url("file"), partial, attempts=2, progress=False)
    assert partial.stat().st_size == 100_000
    server.cut = None
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY


def test_nothing_is_missing_from_a_finished_part(server, partial):
    """An attempt that was killed between the last byte and the end of the call."""
    server.files["file"] = BODY
    partial.parent.mkdir()
    partial.write_bytes(BODY)
    partial.with_name("file.part.version").write_text(f'"{hashlib.sha256(BODY).hexdigest()}"')
    download.download(server.url("file"), partial, progress=False)
    assert partial.read_bytes() == BODY


def test_too_large_a_file_is_not_taken(server, partial):
    server.files["file"] = BODY
    with pytest.raises(download.DownloadError, match="1024000 bytes, at most 1000 "):
        download.download(server.url("file"), partial, max_bytes=1000, progress=False)
    assert not partial.exists()


@pytest.mark.parametrize(
    "url", ["http://example.invalid/x", "file:///etc/passwd", "ftp://127.0.0.1/x"]
)
def test_only_https(partial, url):
    with pytest.raises(ValueError, match="is not an https address"):
        download.download(url, partial, progress=False)


def test_redirects_stay_on_https(server, partial):
    server.files["file"] = BODY
    server.redirects = {"here": server.url("file"), "away": "http://example.invalid/file"}
    download.download(server.url("here"), partial, progress=False)
    assert partial.read_bytes() == BODY
    with pytest.raises(download.DownloadError, match="without https: http://example.invalid"):
        download.download(server.url("away"), partial, progress=False)


def test_missing_file_and_missing_server(server, partial):
    with pytest.raises(download.DownloadError, match="HTTP 404"):
        download.download(server.url("nothing"), partial, progress=False)
    with pytest.raises(download.DownloadError, match="refused"):
        download.download("http://127.0.0.1:1/x", partial, progress=False)
    assert not partial.exists()


# ---- weights ----

FILE = "ofa_mbv3_d234_e346_k357_w1.0"


@pytest.fixture(scope="module")
def state() -> dict:
    torch.manual_seed(0)
    return official.export(Supernet(get_space("ofa-mbv3")))


def saved(content: object, **options) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def checkpoint(state) -> bytes:
    return saved({"state_dict": state})


@pytest.fixture
def published(server, monkeypatch, tmp_path) -> Server:
    """The server, from which `labkit.official.published_weights` now gets its files."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(
        weights,
        "PUBLISHED",
        {"ofa-mbv3": weights.Published("ofa-mbv3", FILE, (server.url(FILE), server.url("mirror")))},
    )
    return server


def kept() -> list[str]:
    folder = weights.converted_path(weights.find("ofa-mbv3")).parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_fetch_converts_and_records(published, checkpoint, state):
    published.files[FILE] = checkpoint
    with pytest.raises(FetchError, match="labkit weights fetch ofa-mbv3"):
        weights.load("ofa-mbv3")
    assert weights.available()[0]["got"] is None
    path = weights.fetch(FILE, progress=False)
    assert kept() == ["ofa-mbv3.safetensors"] == [path.name]
    supernet = weights.load("ofa-mbv3")
    for ours, theirs in layer_names.parameter_names(supernet.space).items():
        assert torch.equal(supernet.get_parameter(ours), state[theirs])
    got = weights.available()[0]["got"]
    assert got["sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert (got["bytes"], got["url"]) == (len(checkpoint), published.url(FILE))
    assert weights.fetch("ofa-mbv3", sha256=got["sha256"].upper(), progress=False) == path
    assert len(published.requests) == 1  # what is here is not fetched again
    with pytest.raises(FetchError, match="remove it to fetch again"):
        weights.fetch("ofa-mbv3", sha256="0" * 64, progress=False)


def test_fetch_reads_the_format_of_2020(published, state):
    old = {
        (
            key.replace(".conv.", ".mobile_inverted_conv.", 1) if key.startswith("blocks") else key
        ): value
        for key, value in state.items()
    }
    published.files[FILE] = saved(
        {"state_dict": old, "epoch": 5}, _use_new_zipfile_serialization=False
    )
    weights.fetch("ofa-mbv3", progress=False)
    assert torch.equal(
        weights.load("ofa-mbv3").classifier.weight, state["classifier.linear.weight"]
    )


def test_fetch_goes_on_after_an_interruption(published, checkpoint):
    published.files[FILE], published.cut = checkpoint, 1_000_000
    with pytest.raises(FetchError, match="ended after 3000000 of .* goes on from there"):
        weights.fetch("ofa-mbv3", progress=False)
    assert {name for name, _ in published.requests} == {FILE}  # a mirror would start from nothing
    published.cut = None
    weights.fetch("ofa-mbv3", progress=False)
    assert published.requests[-1] == (FILE, "bytes=3000000-")
    assert kept() == ["ofa-mbv3.safetensors"]


def test_fetch_tries_the_mirror(published, checkpoint):
    published.files["mirror"] = checkpoint
    weights.fetch("ofa-mbv3", progress=False)
    assert weights.available()[0]["got"]["url"] == published.url("mirror")


def test_a_wrong_hash_leaves_nothing(published, checkpoint):
    published.files[FILE] = checkpoint
    with pytest.raises(
        FetchError,
        match=(
            f"SHA-256 {hashlib.sha256(checkpoint).hexdigest()}, want 1111.*; nothing was kept of it"
        ),
    ):
        weights.fetch("ofa-mbv3", sha256="1" * 64, progress=False)
    assert kept() == []
    asked = len(published.requests)
    with pytest.raises(FetchError, match="SHA-256 'zzz' is not 64 hexadecimal digits"):
        weights.fetch("ofa-mbv3", sha256="zzz", progress=False)
    assert len(published.requests) == asked


def test_a_placed_file_stays_where_it_was_put(published, checkpoint):
    placed = weights.converted_path(weights.find("ofa-mbv3")).with_name(FILE)
    placed.parent.mkdir(parents=True)
    for content, options in ((checkpoint, {"sha256": "1" * 64}), (checkpoint[:1000], {})):
        placed.write_bytes(content)
        with pytest.raises(FetchError, match=f"; remove {placed}, or put the right file there"):
            weights.fetch("ofa-mbv3", progress=False, **options)
        assert kept() == [FILE]


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_download_outlives_a_conversion_that_was_cut_short(
    published, checkpoint, monkeypatch, stop
):
    published.files[FILE] = checkpoint

    def fail(*_):
        raise stop

    with monkeypatch.context() as patch, pytest.raises(type(stop)):
        patch.setattr(weights.weights_file, "save", fail)
        weights.fetch("ofa-mbv3", progress=False)
    asked = len(published.requests)
    weights.fetch("ofa-mbv3", progress=False)
    assert len(published.requests) == asked and "ofa-mbv3.safetensors" in kept()


class Harmful:
    """Unpickles to a call that creates `target`."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def without_matrices(state: dict) -> dict:
    return {key: value for key, value in state.items() if "5to3_matrix" not in key}


# What the server sends instead, made from a good state dict and the path that harm would touch, and
# the message.
WRONG_FILES = {
    "page": (
        lambda state, target: b"<!DOCTYPE html><html>404</html>" * 100,
        "not a whole torch checkpoint",
    ),
    "nothing": (lambda state, target: b"", "not a whole torch checkpoint"),
    "half": (lambda state, target: saved(state)[:10_000_000], "not a whole torch checkpoint"),
    "list": (lambda state, target: saved([1, 2, 3]), "holds no state dict, but list"),
    "other network": (
        lambda state, target: saved(official.export(Supernet(get_space("ofa-mbv3-w1.2")))),
        "of another shape",
    ),
    "missing keys": (
        lambda state, target: saved(without_matrices(state)),
        r"20 missing \(blocks.1.conv.depth_conv.conv.5to3_matrix",
    ),
    "not finite": (
        lambda state, target: saved({**state, "first_conv.bn.bias": torch.full((16,), torch.nan)}),
        "'first_conv.bn.bias' has values that are not finite",
    ),
    "harmful": (
        lambda state, target: saved({"state_dict": {**state, "x": Harmful(target)}}),
        "UnpicklingError",
    ),
    "harmful, old format": (
        lambda state, target: saved(Harmful(target), _use_new_zipfile_serialization=False),
        "UnpicklingError",
    ),
    "bare pickle": (
        lambda state, target: pickle.dumps(Harmful(target), protocol=2),
        "not a whole torch checkpoint",
    ),
}


@pytest.mark.parametrize("kind", WRONG_FILES)
def test_wrong_and_harmful_files(published, state, tmp_path, kind):
    target = tmp_path / "harmed"
    make, message = WRONG_FILES[kind]
    published.files[FILE] = make(state, target)
    with pytest.raises(FetchError, match=message) as error:
        weights.fetch("ofa-mbv3", progress=False)
    assert isinstance(error.value, LabError) and FILE in str(error.value)
    assert not target.exists(), "code from the file was run"
    assert kept() == []


def test_the_harmful_files_do_harm_when_unpickled(tmp_path):
    """So that the test above can fail."""
    pickle.loads(pickle.dumps(Harmful(tmp_path / "harmed")))
    assert (tmp_path / "harmed").exists()


def test_without_a_network_the_error_says_what_to_put_where(published, checkpoint, monkeypatch):
    url = f"http://127.0.0.1:1/{FILE}"
    monkeypatch.setattr(
        weights, "PUBLISHED", {"ofa-mbv3": weights.Published("ofa-mbv3", FILE, (url,))}
    )
    with pytest.raises(FetchError) as error:
        weights.fetch("ofa-mbv3", progress=False)
    message = str(error.value)
    assert url in message and "labkit weights fetch ofa-mbv3" in message
    place = Path(re.search(r"put it unchanged at (\S+)", message)[1])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(checkpoint)
    weights.fetch("ofa-mbv3", progress=False)
    assert place.read_bytes() == checkpoint  # it is theirs, and stays
    assert weights.available()[0]["got"]["url"] == str(place)


def test_unknown_names(published):
    with pytest.raises(FetchError, match="'resnet', known: ofa-mbv3"):
        weights.fetch("resnet")


def test_a_space_in_the_place_of_its_name_is_a_short_error():
    with pytest.raises(
        FetchError, match="name of their space, got a SearchSpace; known: ofa-mbv3"
    ) as error:
        weights.load(get_space("ofa-mbv3"))
    assert len(str(error.value)) < 200


def test_a_checkpoint_that_is_not_there_is_not_called_damaged(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"model_best.pth.tar does not exist; check its name$"
    ):
        weights.read_pickle(tmp_path / "model_best.pth.tar")


class Runs:
    def __reduce__(self):
        return os.getcwd, ()


@pytest.mark.parametrize("number", [np.float64(76.25), np.float32(0.5), np.int64(3)])
def test_a_checkpoint_of_the_official_training_holds_numbers_of_numpy(tmp_path, number):
    path, weight = tmp_path / "checkpoint.pth.tar", torch.randn(3, 2)
    content = {"state_dict": {"weight": weight}, "epoch": 1, "best_acc": number}
    torch.save(content, path)
    assert torch.equal(weights.read_pickle(path)["weight"], weight)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    newer = path.read_bytes()
    older = newer.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert older != newer
    path.write_bytes(older)  # as numpy before 2.0 wrote it
    assert torch.equal(weights.read_pickle(path)["weight"], weight)
    for foreign in (Runs(), np.array([Runs()]), np.array(["x"], object)):
        torch.save({**content, "best_acc": foreign}, path)
        with pytest.raises(CheckpointError, match="not a whole torch checkpoint of plain tensors"):
            weights.read_pickle(path)


def test_published_addresses():
    """Each official space has its checkpoint, from https, under the name of its width."""
    assert weights.PUBLISHED.keys() == layer_names.OFFICIAL_CLASSES.keys()
    for published in weights.PUBLISHED.values():
        width = {"ofa-mbv3": "1.0", "ofa-mbv3-w1.2": "1.2", "ofa-proxyless-w1.3": "1.3"}[
            published.space
        ]
        assert all(
            url.startswith("https://") and url.endswith(f"d234_e346_k357_w{width}")
            for url in published.urls
        )
