"""Published files come from a server on this machine: whole, in parts, wrong, or not at all."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from ofa_files_for_tests import random_times, table_text
from server_for_tests import Server, file_server  # noqa: F401  (a fixture)
from spaces_for_tests import ONE_WIDTH

from labkit.cli.official.published import official
from labkit.latency.devices import PUBLISHED_TABLES, DeviceError, device_names, get_device
from labkit.latency.measured.untrusted_json import TableError
from labkit.official import published_files
from labkit.official.download import FetchError
from labkit.official.latency_tables import DIALECTS
from labkit.official.published_files import FILES, TABLES, PublishedFile, fetch
from labkit.space.presets import spaces

BODY = bytes(range(256)) * 400


@pytest.fixture
def published(server, monkeypatch, tmp_path) -> Server:
    """The server, from which `predictor` now comes; what labkit keeps is this test's."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    publish(server, monkeypatch, "predictor", {"net.pth": BODY})
    return server


def publish(server, monkeypatch, name: str, files: dict[str, bytes]) -> None:
    server.files |= files
    digests = {file: hashlib.sha256(body).hexdigest() for file, body in files.items()}
    entries = [PublishedFile(server.url(file), digest) for file, digest in digests.items()]
    monkeypatch.setitem(FILES, name, tuple(entries))


def files_of(name: str) -> list[str]:
    folder = published_files.folder(name)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_every_published_table_is_a_device_that_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    assert set(PUBLISHED_TABLES) == set(TABLES) == set(FILES) - {"predictor"}
    for name in TABLES:
        with pytest.raises(DeviceError, match=f"`labkit official fetch {name}` .*--format ofa"):
            get_device(name)
    assert all(file.url.startswith("https://") for files in FILES.values() for file in files)


def test_a_file_is_fetched_once(published):
    with pytest.raises(FetchError, match="net.pth does not exist; .*official fetch predictor"):
        published_files.fetched("predictor")
    assert (fetch("predictor", progress=False) / "net.pth").read_bytes() == BODY
    assert published_files.fetched("predictor").read_bytes() == BODY
    fetch("predictor", progress=False)
    assert len(published.requests) == 1 and files_of("predictor") == ["net.pth"]


def test_an_interrupted_download_goes_on_where_it_stopped(published):
    published.cut = 20_000
    with pytest.raises(FetchError, match="after 60000 of 102400 .*fetch predictor` goes on from"):
        fetch("predictor", progress=False)
    published.cut = None
    fetch("predictor", progress=False)
    assert published.requests[-1] == ("net.pth", "bytes=60000-")
    assert files_of("predictor") == ["net.pth"]


def test_another_file_of_that_name_is_not_taken(published):
    published.files["net.pth"] = b"something else"
    digest = hashlib.sha256(b"something else").hexdigest()
    with pytest.raises(FetchError, match=f"has SHA-256 {digest}, want .*nothing was kept of it"):
        fetch("predictor", progress=False)
    assert files_of("predictor") == []


def test_without_a_connection_the_error_says_what_to_put_where(published):
    del published.files["net.pth"]
    with pytest.raises(FetchError, match="HTTP 404") as raised:
        fetch("predictor", progress=False)
    place = published_files.folder("predictor") / "net.pth"
    assert f"download {published.url('net.pth')} , put it unchanged at {place} and" in str(
        raised.value
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"something else")
    with pytest.raises(FetchError, match=f"{place} has SHA-256 .*; remove it"):
        fetch("predictor", progress=False)
    place.write_bytes(BODY)
    assert fetch("predictor", progress=False) == place.parent


def test_without_a_server_the_address_is_named(published, monkeypatch):
    monkeypatch.setitem(
        FILES, "predictor", (PublishedFile("http://127.0.0.1:1/net.pth", "0" * 64),)
    )
    with pytest.raises(
        FetchError, match="127.0.0.1:1/net.pth.*refused.*On a machine with internet"
    ):
        fetch("predictor", progress=False)


def test_a_file_far_too_large_is_not_taken(published, monkeypatch):
    monkeypatch.setattr(published_files, "FILE_BYTES", 50_000)
    with pytest.raises(FetchError, match="102400 bytes, at most 50000"):
        fetch("predictor", progress=False)


def test_unknown_names_are_listed(published):
    with pytest.raises(FetchError, match="'pixel9', known: predictor, note10, i7-8700k"):
        fetch("pixel9")
    with pytest.raises(FetchError, match="'predictor', known: note10, i7-8700k"):
        published_files.fetch_table("predictor")


@pytest.fixture
def published_table(published, monkeypatch) -> dict[str, bytes]:
    """Two files, of one resolution each, that are served as the table `note10`."""
    monkeypatch.setitem(spaces, ONE_WIDTH.name, ONE_WIDTH)
    monkeypatch.setitem(
        TABLES, "note10", published_files.PublishedTable((ONE_WIDTH.name,), "a phone")
    )
    files = {
        f"{side}.yaml": table_text(random_times(ONE_WIDTH, DIALECTS[0], (side,))).encode()
        for side in (20, 28)
    }
    publish(published, monkeypatch, "note10", files)
    return files


def test_a_table_becomes_a_device(published_table):
    result = CliRunner().invoke(official, ["fetch", "note10"])
    assert result.exit_code == 0, result.output
    assert "device 'note10' is ready for space 'one-width' at 20, 28 px" in result.output
    assert get_device("note10").title == "a phone (table of times)"
    assert CliRunner().invoke(official, ["fetch", "note10"]).exit_code == 0  # and again


def test_of_a_table_with_a_gap_nothing_is_imported(published_table, published, monkeypatch):
    text = published_table["28.yaml"].decode()
    start = text.index("expanded_conv-input:14x14x16")
    end = text.index("\n", text.index("mean", start)) + 1
    files = published_table | {"28.yaml": (text[:start] + text[end:]).encode()}
    publish(published, monkeypatch, "note10", files)
    with pytest.raises(TableError, match="are not complete; .*: expanded_conv-input:14x14x16"):
        published_files.fetch_table("note10", progress=False)
    assert "note10" not in device_names()


def test_of_a_table_for_two_spaces_both_are_imported_or_none(published_table, monkeypatch):
    larger = replace(ONE_WIDTH, name="larger", num_classes=11)
    monkeypatch.setitem(spaces, larger.name, larger)
    table = published_files.PublishedTable((ONE_WIDTH.name, larger.name), "a phone")
    monkeypatch.setitem(TABLES, "note10", table)
    with pytest.raises(TableError, match="are not complete; .*: Logits-input:.*-output:11"):
        published_files.fetch_table("note10", progress=False)
    assert "note10" not in device_names()


def test_the_command_fetches_the_predictor(published):
    result = CliRunner().invoke(official, ["fetch", "predictor"])
    assert result.exit_code == 0 and str(Path("official") / "predictor") in result.output


def test_all_files_that_are_missing_are_named_at_once(published, monkeypatch):
    publish(published, monkeypatch, "predictor", {name: name.encode() for name in ("a", "b", "c")})
    for name in ("a", "b", "c"):
        del published.files[name]
    with pytest.raises(FetchError) as raised:
        fetch("predictor", progress=False)
    place = published_files.folder("predictor")
    assert place.is_dir() and f"put it unchanged at {place / 'a'} and run" in str(raised.value)
    assert f"Missing as well: {published.url('b')}, {published.url('c')}" in str(raised.value)
    for name in ("a", "b", "c"):
        (place / name).write_bytes(name.encode())
    assert fetch("predictor", progress=False) == place
