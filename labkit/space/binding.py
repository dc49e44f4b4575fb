"""What binds a file to the space it was made for: the space's name and its digest.

A name alone does not say what a space is, because presets are edited and two people may call their
spaces alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from labkit.space.search_space import SearchSpace

SHOWN_DIGITS = 12  # of a digest, in file names and messages


def space_fields(space: SearchSpace) -> dict[str, str]:
    """The header fields of a file that was made for `space`."""
    return {"space": space.name, "space_sha256": space.digest}


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
        f"{source} was made for space {name!r} ({version}), not for space {space.name!r}"
        f" ({space.digest[:SHOWN_DIGITS]}); {advice}"
    )
