"""Files that others publish and labkit does not ship: fetched once, known by their hash.

    <cache>/official/NAME/FILE

`predictor` is OFA's accuracy predictor (`labkit.official.accuracy_mlp` reads it), the others are
tables of latencies, which become devices.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from labkit.latency.kit.board_import import import_table
from labkit.latency.measured.lookup_table import LatencyTable
from labkit.latency.measured.untrusted_json import FILE_BYTES
from labkit.official.download import FetchError, discard, download_any
from labkit.official.latency_tables import read_ofa
from labkit.space.presets import get_space
from labkit.storage.paths import cache_dir
from labkit.storage.provenance import sha256


class PublishedFile(NamedTuple):
    """A file at an address, and the SHA-256 of its bytes."""

    url: str
    sha256: str


class PublishedTable(NamedTuple):
    """A table of latencies: the spaces that it is for, and what was measured."""

    spaces: tuple[str, ...]
    board: str


HAN_CAI = "https://raw.githubusercontent.com/han-cai/files/master/ofa"
NSGANETV2 = (
    "https://raw.githubusercontent.com/mikelzc1990/nsganetv2/"
    "949322a56a454e6a9812bae0ef55e149ebeabd3d/data"
)
FILES = {
    "predictor": (
        PublishedFile(
            f"{HAN_CAI}/acc_predictor.pth",
            "48685122a3540636b06699af66cd816456b25f29b69563e2fda9bed4018eeba0",
        ),
    ),
    "note10": tuple(
        PublishedFile(f"{HAN_CAI}/note10/{side}_lookup_table.yaml", digest)
        for side, digest in (
            (160, "a2671a45e9400542679ed03de946b45d6a35010f9ab21834af3e7ba8341d36d1"),
            (176, "34223ae037d5719a5f33261bdfd9341f590a2999edf520f174309605dc06307c"),
            (192, "0ff5ca0649e56ad34a42d6a8a6f20adb5121c8d12d135299397b310472db79e2"),
            (208, "41aa63af766a8298354e6aa5ae69d512ac68656a6e7d0a4fa5dc725c8d438633"),
            (224, "c13a9bcb3f4becae844bce4897129c4e42975984c1029cbd5acb48c970136530"),
        )
    ),
    "i7-8700k": (
        PublishedFile(
            f"{NSGANETV2}/i7-8700K_lut.yaml",
            "4cd187ee5466802099f502a4d496cbee270a0b21862351722a527dc3a43f85e6",
        ),
    ),
}
TABLES = {
    "note10": PublishedTable(("ofa-mbv3-w1.2",), "Samsung Note10, by the authors of OFA"),
    "i7-8700k": PublishedTable(
        ("ofa-mbv3", "ofa-mbv3-w1.2"), "Intel Core i7-8700K, by the authors of NSGANetV2"
    ),
}


def folder(name: str) -> Path:
    """Where the files called `name` lie once they are fetched; FetchError lists the names."""
    if name not in FILES:
        raise FetchError(f"nothing published is called {name!r}, known: {', '.join(FILES)}")
    return cache_dir() / "official" / name


def fetch(name: str, *, progress: bool = True) -> Path:
    """The folder of the files called `name`, each downloaded unless it is there.

    A file that somebody put there is used instead of a download. An interrupted download goes on
    where it stopped. Raises FetchError, which lists what is missing, where one cannot be had; and,
    keeping nothing of it, for a file with another hash.
    """
    place = folder(name)
    place.mkdir(parents=True, exist_ok=True)  # for files that somebody brings
    missing = []
    for file in FILES[name]:
        path = place / Path(file.url).name
        if not path.is_file():
            missing.append(file)
        elif (digest := sha256(path)) != file.sha256:
            raise FetchError(
                f"{path} has SHA-256 {digest}, want {file.sha256}; remove it, and `labkit official"
                f" fetch {name}` downloads it"
            )
    for i, file in enumerate(missing):
        try:
            _download(name, file, place / Path(file.url).name, progress)
        except FetchError as error:
            others = ", ".join(other.url for other in missing[i + 1 :])
            more = f". Missing as well: {others}" if others else ""
            raise FetchError(f"{error}{more}") from error
    return place


def fetch_table(name: str, *, progress: bool = True) -> list[LatencyTable]:
    """Fetch a published table of latencies and make it the device `name`, for each of its spaces.

    Raises FetchError as `fetch` does, TableError for a table that is not complete.
    """
    if name not in TABLES:
        raise FetchError(f"no published table is called {name!r}, known: {', '.join(TABLES)}")
    source, table = fetch(name, progress=progress), TABLES[name]
    # All are read before one is imported, so that none is where another is refused.
    times = {space: read_ofa(source, get_space(space)) for space in table.spaces}
    return [
        import_table(
            source,
            name,
            get_space(space),
            read_times=lambda _, space: times[space.name],
            board=table.board,
        )
        for space in table.spaces
    ]


def fetched(name: str) -> Path:
    """The one file called `name`; raises FetchError where it was not fetched."""
    path = folder(name) / Path(FILES[name][0].url).name
    if not path.is_file():
        raise FetchError(f"{path} does not exist; get it with `labkit official fetch {name}`")
    return path


def _download(name: str, file: PublishedFile, path: Path, progress: bool) -> None:
    partial = path.with_name(f"{path.name}.part")
    download_any(
        (file.url,),
        partial,
        path,
        title=name,
        command=f"labkit official fetch {name}",
        max_bytes=FILE_BYTES,
        progress=progress,
    )
    digest = sha256(partial)
    if digest == file.sha256:
        partial.replace(path)
    discard(partial)  # bytes of another file are not to be continued
    if digest != file.sha256:
        raise FetchError(
            f"{file.url} has SHA-256 {digest}, want {file.sha256}: it is another file than the one"
            " that labkit was tried with; nothing was kept of it"
        )
