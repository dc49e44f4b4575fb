"""Search spaces as TOML files: what `labkit.space.definition` describes, in a form to edit."""

from __future__ import annotations

import tomllib
from pathlib import Path

from labkit.space.definition import SpaceError, space_from
from labkit.space.search_space import SearchSpace

SUFFIX = ".toml"


def read_space(path: Path | str) -> SearchSpace:
    """The space in a TOML file; raises SpaceError that names the file and what is wrong in it."""
    path = Path(path)
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise SpaceError(f"{path} does not exist; `labkit space new {path}` writes one") from None
    except (OSError, ValueError) as error:
        raise SpaceError(f"{path} is not a TOML file ({error})") from None
    return space_from(value, path)
