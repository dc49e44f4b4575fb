"""The folder of a project: what `labkit adopt`, or somebody by hand, makes for some images.

FOLDER/space.toml                 the search space
FOLDER/supernet/                  weights, accuracy pairs and predictor
FOLDER/networks/specialize.json   every subnet on every device, beside the deployed networks
FOLDER/figures/*.png              pictures; a name is a caption, "8.2 Depths" one in task 8.2
FOLDER/report.html                the report on all of it
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

SPACE, SUPERNET, NETWORKS, FIGURES = "space.toml", "supernet", "networks", "figures"
REPORT = "report.html"


def project_folder(name: str | Path) -> Path:
    """The folder of a notebook's project, made if it is not there; under pytest (nbval) a new
    temporary one, so that no earlier run decides what a test sees.
    """
    folder = Path(tempfile.mkdtemp() if "PYTEST_VERSION" in os.environ else name)
    (folder / FIGURES).mkdir(parents=True, exist_ok=True)
    return folder
