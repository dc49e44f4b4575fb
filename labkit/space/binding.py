"""What binds a file to the space it was made for: the space's name, its digest and its definition.

A name alone does not say what a space is, because presets are edited and two people may call their
spaces alike. With the definition a file can be used where nobody has heard of its space.
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.space.definition import definition, space_from
from labkit.space.presets import spaces
from labkit.space.search_space import SearchSpace
from labkit.storage.errors import LabError

SHOWN_DIGITS = 12  # of a digest, in file names and messages


def space_fields(space: SearchSpace) -> dict[str, object]:
    """The header fields of a file that was made for `space`."""
    digest = {"space": space.name, "space_sha256": space.digest}
    return {**digest, "space_definition": definition(space)}


def space_of(header: Mapping, source: object, error: type[LabError], advice: str) -> SearchSpace:
    """The space that the file `source` was made for: the one that its header defines, else the one
    that ships under its name.

    Raises `error` where there is none, or where it is another one than the header's digest says.
    """
    if "space_definition" in header:
        space = space_from(header["space_definition"], f"{source}: space_definition", error)
    elif header.get("space") in spaces:
        space = spaces[header["space"]]
    else:
        raise error(f"{source}: unknown space {header.get('space')!r}, known: {', '.join(spaces)}")
    require_space(header, source, space, error, advice)
    return space


def version_text(space: SearchSpace) -> str:
    """A space's name and the begin of its digest, for messages.

    >>> from labkit.space import get_space
    >>> version_text(get_space("fmnist"))
    "'fmnist' (977e041ea043)"
    """
    return f"{space.name!r} ({space.digest[:SHOWN_DIGITS]})"


def file_stem(space: SearchSpace) -> str:
    """A file name, without its ending, that no other space and no other version of `space` has."""
    return f"{space.name}-{space.digest[:SHOWN_DIGITS]}"


def require_space(
    header: Mapping, source: object, space: SearchSpace, error: type[Exception], advice: str
) -> None:
    """Raise `error` unless `header`, of the file `source`, says that it was made for `space`."""
    name, digest = header.get("space"), header.get("space_sha256")
    if (name, digest) == (space.name, space.digest):
        return
    version = digest[:SHOWN_DIGITS] if isinstance(digest, str) else "without a digest"
    raise error(
        f"{source} was made for space {name!r} ({version}), not for space {version_text(space)};"
        f" {advice}"
    )
