"""labkit: the Once-for-All lab. Train one supernet, then give every device its own subnet.

This is the face of the package: what a notebook or a script needs, under one name.

>>> import labkit
>>> space = labkit.get_space("fmnist")
>>> macs = labkit.macs_table(space)
>>> print(f"{macs(space.encode([space.largest()]))[0]:,.0f} multiply-adds")
17,929,568 multiply-adds

A name is imported from its module when it is first used, so that a search imports neither torch nor
a runtime. `labkit.search`, `labkit.train`, `labkit.data` and the like are the packages of these
names, never functions.
"""

from __future__ import annotations

from importlib import import_module

__version__ = "0.1.0"

# Each module of the package that the face shows, and its names: NAME, or NAME=name in the module
# where that one says too little outside of it.
_FACE = {
    "labkit.space": "Arch Block SearchSpace Stage get_space",
    "labkit.tables.costs": "macs_table params_table activation_table",
    "labkit.tables.accuracy_predictor": "fit_separable",
    "labkit.tables.predictor_quality": "kendall_tau",
    "labkit.search": "Budget InfeasibleBudget evolve random_search nsga2 front",
    "labkit.latency.devices": "get_device device_names",
    "labkit.latency.measured.runtimes": "get_runtime",
    "labkit.latency.measured.lookup_table": "build_table",
    "labkit.runtime.timing": "time_call",
    "labkit.supernet.folder": "load TrainedSupernet",
    "labkit.specialize.device_costs": "DeviceCosts",
    "labkit.specialize.subnet_search": "search_subnet certify",
    "labkit.comparison.hand_scaled": "hand_scaled largest_within",
    "labkit.data.datasets": "load_dataset=load normalize resize",
    "labkit.supernet.supernet": "Supernet",
    "labkit.supernet.evaluation": "Evaluator recalibrate",
    "labkit.train": "TrainConfig train_supernet=train",
    "labkit.deploy.onnx.export": "export_onnx=export",
    "labkit.deploy.onnx.deployment": "deploy_onnx=deploy",
    "labkit.course": "beside check check_notebook show",
    "labkit.course.explorer.explorer": "Explorer",
}
_ORIGINS = {
    name: (module, original or name)
    for module, names in _FACE.items()
    for name, _, original in (entry.partition("=") for entry in names.split())
}

__all__ = sorted(_ORIGINS)


def __getattr__(name: str) -> object:
    """The object that the face calls `name`, from its module; kept, so that this happens once."""
    if name not in _ORIGINS:
        raise AttributeError(
            f"labkit has no {name!r}; its face shows {', '.join(__all__)}, and the rest is imported"
            " from its own module"
        )
    module, original = _ORIGINS[name]
    value = getattr(import_module(module), original)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
