"""Official archs as ours, and ours as theirs.

An official arch is a dict {"ks": kernel sizes, "e": expand ratios, "d": depths, "r": [resolution]}.
The lists of blocks always have the full length; entries of absent blocks mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from labkit.space import Arch, Block, SearchSpace


def arch_to_official(space: SearchSpace, arch: Arch) -> dict[str, list[int]]:
    """{"ks", "e", "d", "r"} for `set_active_subnet`, with 0 for blocks that are absent."""
    space.validate(arch)
    blocks: list[Block] = []
    for stage, present in zip(space.stages, arch.stages):
        blocks += [*present, *[Block(0, 0)] * (stage.max_depth - len(present))]
    kernels, expands = map(list, zip(*blocks))
    return {"ks": kernels, "e": expands, "d": list(arch.depths), "r": [arch.resolution]}


def arch_from_official(space: SearchSpace, config: Mapping) -> Arch:
    """The arch that `set_active_subnet(**config)` makes active.

    As there, one number stands for a whole list, a depth larger than the stage's is cut to it, and
    entries of absent blocks are ignored. The resolution is `r` (a number or a list of one) or
    `image_size`. Raises ValueError for a list of another length or a choice that the space has not.
    """
    blocks = "block, those that are not there included"
    kernels = _list_of(space, config, "ks", len(space.blocks), blocks)
    expands = _list_of(space, config, "e", len(space.blocks), blocks)
    depths = _list_of(space, config, "d", len(space.stages), "stage")
    resolution = _integers("r", config.get("r", config.get("image_size")))
    if len(resolution) != 1:
        raise ValueError(f"'r' must be one resolution, got {resolution}")
    stages, start = [], 0
    for stage, depth in zip(space.stages, depths):
        end = start + max(0, min(depth, stage.max_depth))
        stages.append(tuple(map(Block, kernels[start:end], expands[start:end])))
        start += stage.max_depth
    arch = Arch(resolution[0], tuple(stages))
    space.validate(arch)
    return arch


def _list_of(space: SearchSpace, config: Mapping, key: str, count: int, each: str) -> list[int]:
    values = _integers(key, config.get(key))
    if not isinstance(config.get(key), Iterable):
        return values * count
    if len(values) != count:
        raise ValueError(
            f"{key!r} has {len(values)} entries, {space.name!r} wants {count}: one for each {each}"
        )
    return values


def _integers(key: str, value: object) -> list[int]:
    is_list = isinstance(value, Iterable) and not isinstance(value, str)
    values = list(value) if is_list else [value]
    try:
        if any(isinstance(v, bool) or int(v) != v for v in values):
            raise ValueError
        return [int(v) for v in values]
    except (TypeError, ValueError, OverflowError):  # the last is what infinity raises
        raise ValueError(
            f"{key!r} must be an integer or a list of them, got {value!r}; an official arch looks"
            ' like {"ks": [...], "e": [...], "d": [...], "r": [224]}'
        ) from None
