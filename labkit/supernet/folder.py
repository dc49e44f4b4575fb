"""A trained supernet as a folder and as one value.

    FOLDER/supernet.safetensors   weights, their space, the record of their training and data set
    FOLDER/pairs.npz              random archs and their accuracy on val-search, of some also on
                                  val and test
    FOLDER/predictor.npz          the accuracy predictor fitted to the pairs

`labkit train --out FOLDER` writes the first, `labkit measure --supernet FOLDER` the others. Those
that ship lie in data/supernets/NAME and go by their name. Where labkit trained nothing, a predictor
fitted to what others measured may ship (`labkit.supernet.additive_predictor`).
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.data.record import DatasetRecord
from labkit.space import SearchSpace, get_space, spaces
from labkit.space.binding import version_text
from labkit.space.space_file import SUFFIX
from labkit.storage.npz_file import ArtifactError
from labkit.storage.paths import data_dir
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet import accuracy_files, additive_predictor, weights_file
from labkit.supernet.accuracy_files import PAIRS, PREDICTOR, SEARCHED, AccuracyModel, Pairs
from labkit.supernet.weights_file import WEIGHTS
from labkit.tables.accuracy_predictor import AccuracyPosterior

if TYPE_CHECKING:
    from labkit.data.datasets import DataSet
    from labkit.supernet.supernet import Supernet

IMAGENET_CLASSES = 1000
PREDICTORS = ("measured", "synthetic")


def load(
    name: str | Path, *, images: Path | None = None, predictor: str = "measured"
) -> TrainedSupernet:
    """The trained supernet that is called `name`, or whose folder is `name`.

    The name of a space in which nothing was trained, or a TOML file that defines one, gives a value
    without weights. `images` and `predictor` are those of `TrainedSupernet`.

    Raises ValueError, which lists the names, for another; CheckpointError for a folder without
    sound weights. Files are read when they are asked for.

    >>> trained = load("fmnist")
    >>> trained.space.size(), trained.dataset_record.name, len(trained.pairs.genes)
    (892126872000, 'fashion-mnist', 1000)
    """
    shipped = data_dir() / "supernets"
    options = {"images": images, "predictor": predictor}
    if str(name) in spaces:
        return TrainedSupernet(get_space(str(name)), shipped / name, **options)
    if str(name).endswith(SUFFIX):
        return TrainedSupernet(get_space(str(name)), Path(name).with_suffix(""), **options)
    # A name with a slash or a dot in front is a path: a training of one's own may be called fmnist.
    is_name = Path(name).name == str(name) and not str(name).startswith(".")
    for folder in (shipped / name, Path(name)) if is_name else (Path(name),):
        if folder.is_dir():
            space, _ = weights_file.read_record(folder / WEIGHTS)
            return TrainedSupernet(space, folder, **options)
    names = [*spaces, *shipped_supernets()]
    raise ValueError(
        f"unknown supernet {str(name)!r}, known: {', '.join(dict.fromkeys(names))}; or give the"
        " folder of a training (`labkit train --out FOLDER`)"
    )


def shipped_supernets() -> list[str]:
    """Names of the trained supernets that ship."""
    return sorted(path.parent.name for path in (data_dir() / "supernets").glob(f"*/{WEIGHTS}"))


def weights_path(source: str | Path) -> Path:
    """`source` if it is a file, else the weights of the trained supernet `load(source)`."""
    path = Path(source)
    return path if path.is_file() else load(source).weights_path


class TrainedSupernet:
    """A space, and what was trained, measured and fitted in it; each read when it is asked for."""

    def __init__(
        self,
        space: SearchSpace,
        path: Path | None = None,
        *,
        images: Path | None = None,
        predictor: str = "measured",
    ) -> None:
        """`path` is the folder; without it, the one in which a supernet of `space` would ship.

        `images` is the folder of its images, if they are not where they were at its training.
        `predictor` is "measured", or "synthetic" for invented accuracies, in a space where none
        were measured; raises ValueError for another.
        """
        if predictor not in PREDICTORS:
            raise ValueError(f"unknown predictor {predictor!r}, known: {', '.join(PREDICTORS)}")
        self.space, self.images, self.predictor_kind = space, images, predictor
        self.path = data_dir() / "supernets" / space.name if path is None else Path(path)

    def using(self, *, images: Path | None = None, predictor: str = "measured") -> TrainedSupernet:
        """The same supernet with its images elsewhere, or with another predictor."""
        return TrainedSupernet(self.space, self.path, images=images, predictor=predictor)

    def __repr__(self) -> str:
        return f"TrainedSupernet({self.space.name!r}, {str(self.path)!r})"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def weights_path(self) -> Path:
        return self.path / WEIGHTS

    @property
    def is_trained(self) -> bool:
        return self.weights_path.is_file()

    def missing(self) -> dict[str, str]:
        """What the folder lacks, and how to make it."""
        named = self.space.name in spaces
        space = self.space.name if named else f"{self.path}.toml --data FOLDER"
        out = f"runs/{self.path.name}"  # not where the package's data or somebody's images may be
        train = f"make it with `labkit train --space {space} --out {out}`, and name that folder"
        if self.space.num_classes == IMAGENET_CLASSES:
            train = (
                f"{train}, with --data FOLDER for ImageNet's images, which takes many GPUs; or get"
                f" the official weights with `labkit weights fetch {self.space.name}`, then `labkit"
                f" evaluate --supernet {self.name} --arch largest --data imagenet --path FOLDER`"
                " judges them (more in docs/coming-from-ofa.md)"
            )
        measure = f"make it with `labkit measure --supernet {self.path}`"
        advice = {WEIGHTS: train, PAIRS: measure, PREDICTOR: measure}
        return {file: how for file, how in advice.items() if not (self.path / file).is_file()}

    @cached_property
    def supernet(self) -> Supernet:
        """The weights, which need no gradients; raises CheckpointError where there are no sound
        ones.
        """
        self.require_weights()
        supernet, _ = weights_file.load(self.weights_path)
        self._require_this_space(supernet.space)
        return supernet

    @cached_property
    def record(self) -> dict:
        """What the weights say of their training: configuration, curve, hours, machine, date."""
        self.require_weights()
        space, record = weights_file.read_record(self.weights_path)
        self._require_this_space(space)
        return record

    @cached_property
    def dataset_record(self) -> DatasetRecord:
        """What the weights say of their images; raises CheckpointError where they do not."""
        return weights_file.dataset_record_of(self.weights_path, self.record)

    @cached_property
    def dataset(self) -> DataSet:
        """The images that the supernet was trained on, and those held out.

        Raises DataError where they are not here, CheckpointError where they are others.
        """
        return weights_file.dataset_of(self.weights_path, self.record, self.images)

    @cached_property
    def pairs(self) -> Pairs:
        """Measured archs; raises ArtifactError where there are none, or they are unsound."""
        return accuracy_files.read_pairs(self.path, self.space)

    @cached_property
    def predictor(self) -> AccuracyModel:
        """The accuracy predictor that was fitted to the pairs, or the synthetic one, labeled so,
        where it was asked for. Where nothing was measured, one that was fitted to what others
        measured, if there is one: it may be for some of the resolutions only.

        Raises ArtifactError where there is none, or it is unsound or made from other files.
        """
        if self.predictor_kind == "synthetic":
            return accuracy_files.synthetic_model(self.space)
        if any((self.path / file).is_file() for file in (WEIGHTS, PAIRS, PREDICTOR)):
            return accuracy_files.read_predictor(self.path, self.space)
        if (self.path / additive_predictor.FILE).is_file():
            return additive_predictor.read_additive_predictor(self.path, self.space)
        raise ArtifactError(
            f"no accuracies were measured in space {self.space.name!r}, because"
            f" {self.weights_path} does not exist: {self.missing()[WEIGHTS]}. To go on with"
            " invented accuracies, ask for them (--predictor synthetic)"
        )

    @cached_property
    def posterior(self) -> AccuracyPosterior:
        """What is believed of accuracies on val-search after the pairs; its mean is the predictor.

        Raises ArtifactError where nothing was measured, or the files are unsound.
        """
        kernel = accuracy_files.read_predictor(self.path, self.space).kernel
        genes, accuracy, header, _ = self.pairs
        return AccuracyPosterior(self.space, kernel, genes, accuracy, header["images"][SEARCHED])

    def _require_this_space(self, space: SearchSpace) -> None:
        if space != self.space:
            raise CheckpointError(
                f"{self.weights_path} holds a supernet of space {version_text(space)}, not"
                f" {version_text(self.space)}; load its folder, {self.path}, by its path, or train"
                " it again"
            )

    def require_weights(self) -> None:
        """Raise CheckpointError, which says how to make them, where there are no weights."""
        if not self.is_trained:
            raise CheckpointError(f"{self.weights_path} does not exist; {self.missing()[WEIGHTS]}")
