"""The files of Fashion-MNIST that the repository embeds: verified, and unpacked into the cache."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import zlib
from pathlib import Path

from labkit.data.record import DataError
from labkit.storage.atomic_write import write_atomic
from labkit.storage.paths import cache_dir, data_dir

FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte": "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
    "train-labels-idx1-ubyte": "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
    "t10k-images-idx3-ubyte": "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
    "t10k-labels-idx1-ubyte": "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
}


def unpack_fashion_mnist() -> Path:
    """Verify the embedded files, unpack them where torchvision looks for them, return its root."""
    source, root = data_dir() / "fashion-mnist", cache_dir() / "fashion-mnist"
    for name, sha256 in FASHION_MNIST_SHA256.items():
        packed, unpacked = source / f"{name}.gz", root / "FashionMNIST" / "raw" / name
        restore = (
            f"restore it with `git checkout -- data/fashion-mnist`, or copy {name}.gz from the"
            " Fashion-MNIST distribution (github.com/zalandoresearch/fashion-mnist) to that place"
        )
        if not packed.is_file():
            raise DataError(f"data file {packed} is missing; {restore}")
        content = packed.read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise DataError(
                f"data file {packed} is damaged (its SHA-256 is not {sha256[:12]}...); {restore}"
            )
        with gzip.open(packed) as compressed:
            checksum, size = struct.unpack(
                "<II", content[-8:]
            )  # gzip's own record of what is in it
            if not (
                unpacked.is_file()
                and unpacked.stat().st_size == size
                and zlib.crc32(unpacked.read_bytes()) == checksum
            ):

                def unpack(path: Path) -> None:
                    with open(path, "wb") as file:
                        shutil.copyfileobj(compressed, file)

                write_atomic(unpacked, unpack)
    return root
