"""The explorer as one HTML file, which needs no network, no Python and no other file.

The page holds every space with its tables, a search that is as exact as `labkit.search.exact`
(page/solver.js), and the predictions of the notebook on search. Its parts lie in the folder `page`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from labkit import __version__
from labkit.course.explorer.packed_space import packed_space
from labkit.course.explorer.predictions import predictions
from labkit.latency.devices import Device, DeviceError, HostDevice, get_device
from labkit.latency.measured.table_files import has_host_table
from labkit.specialize.targets import with_room
from labkit.supernet import additive_predictor
from labkit.supernet.folder import TrainedSupernet

PARTS = Path(__file__).parent / "page"


def html_page(supernets: Sequence[TrainedSupernet], device_names: Sequence[str]) -> str:
    """The page for some supernets and devices. This machine is measured if it was not before.

    A space in which nothing was trained has the accuracies that were fitted to what others measured
    or, without such, synthetic ones, and says so. A device is left out of a space where its memory
    holds no subnet or there is no latency table. Raises ValueError for a supernet that is left
    without any device.
    """
    spaces = []
    for trained in map(with_accuracy, supernets):
        devices, model = devices_of(trained, device_names), trained.predictor
        if not devices:
            raise ValueError(f"none of {', '.join(device_names)} can be searched in {trained.name}")
        packed = packed_space(model.space, model, devices)
        # What a board has measured is the supernet's space, of which the page may have a part.
        spaces.append({"title": trained.name, **packed, "sha256": trained.space.digest})
    asked = next((trained for trained in supernets if trained.is_trained), None)
    data = {
        "version": __version__,
        "spaces": spaces,
        "asked": asked and asked.name,
        "predictions": [asdict(one) for one in predictions(asked)] if asked else [],
    }
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")  # no tag begins in a script
    page = _part("page.html")
    for name, content in (
        ("style", _part("page.css")),
        ("script", _part("solver.js") + _part("page.js")),
        ("data", text),
    ):
        page = page.replace(f"{{{{{name}}}}}", content)
    return page


def with_accuracy(trained: TrainedSupernet) -> TrainedSupernet:
    """The supernet, with synthetic accuracies where it has none of any kind."""
    if trained.is_trained or (trained.path / additive_predictor.FILE).is_file():
        return trained
    return trained.using(predictor="synthetic")


def devices_of(trained: TrainedSupernet, names: Sequence[str]) -> list[Device]:
    """The devices that can be searched in a supernet's space, as far as it has accuracies.

    This machine is measured for a trained supernet only: the spaces of others would take minutes.
    """
    devices, space = [], trained.predictor.space
    for device in map(get_device, with_room(space, names)):
        if isinstance(device, HostDevice):
            if not trained.is_trained and not has_host_table(space):
                continue
        else:
            try:
                device.latency_file(space)
            except DeviceError:
                continue
        devices.append(device)
    return devices


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")
