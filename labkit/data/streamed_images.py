"""Images that are decoded when they are asked for, by workers that run ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from labkit.data.decoding import pixels_of
from labkit.data.image_index import IMAGES_AT_ONCE, WORKERS, ImageSource
from labkit.data.record import DataError, ImageForm


class StreamedImages:
    """Some images of a source, which are used like a tensor (N, C, side, side) of uint8.

    Only what is indexed is decoded: memory does not grow with N. Where the order is known, as in
    training, `announce` it, so that workers decode the next batches in the meantime.
    """

    dtype = torch.uint8

    def __init__(
        self,
        source: ImageSource,
        form: ImageForm,
        rows: Tensor,
        device: torch.device | str = "cpu",
        workers: int = WORKERS,
    ) -> None:
        """`rows` (N,) are the numbers of the images in the source."""
        self.source, self.form, self.rows = source, form, rows
        self.device, self.workers = torch.device(device), workers
        self._announced: list[Tensor] = []
        self._ahead: Iterator[Tensor] = iter(())

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.rows), self.form.channels, self.form.side, self.form.side))

    def to(self, device: torch.device | str) -> StreamedImages:
        """The same images, which arrive on `device`."""
        return StreamedImages(self.source, self.form, self.rows, device, self.workers)

    def announce(self, batches: Sequence[Tensor]) -> None:
        """Indices of the batches that will be asked for, in this order."""
        self._announced = [batch.cpu() for batch in batches][::-1]
        self._ahead = self.batches(self._announced[::-1])

    def __getitem__(self, key: Tensor | slice) -> Tensor:
        """The images of an index tensor or a slice; raises DataError for one that is lost."""
        indices = torch.arange(len(self))[key.cpu() if isinstance(key, Tensor) else key]
        if self._announced and torch.equal(self._announced[-1], indices):
            self._announced.pop()
            return next(self._ahead)
        if not len(indices):
            return torch.empty(0, *self.shape[1:], dtype=self.dtype, device=self.device)
        return torch.cat(list(self.batches(indices.split(IMAGES_AT_ONCE))))

    def batches(self, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images of each of the `batches` of indices, decoded by workers."""
        loader = DataLoader(
            _Decoded(self.source, self.form, self.rows),
            batch_sampler=map(Tensor.tolist, batches),  # numbers of Python take 36 bytes each
            num_workers=self.workers if len(batches) > 1 else 0,
            collate_fn=_stacked,
            generator=torch.Generator(),  # of its own, so that the global one is left alone
        )
        for batch in loader:
            if isinstance(batch, str):  # raised here: a worker's traceback would be in the message
                raise DataError(batch)
            yield batch.to(self.device)


class _Decoded(Dataset):
    def __init__(self, source: ImageSource, form: ImageForm, rows: Tensor) -> None:
        self.source, self.form, self.rows = source, form, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Tensor | str:
        row = int(self.rows[i])
        try:
            return pixels_of(self.source.item(row)[0], self.form)
        except Exception as error:  # PIL's readers raise anything for a damaged file
            return (
                f"{self.source.name_of(row)} can no longer be read ({error}); restore it, or start"
                " again with the folder as it is"
            )


def _stacked(items: list[Tensor | str]) -> Tensor | str:
    return next((item for item in items if isinstance(item, str)), None) or torch.stack(items)
