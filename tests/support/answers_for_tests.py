"""The banks of right and of wrong answers, by exercise id."""

import importlib
import pkgutil

import exercises

RIGHT, WRONG = {}, {}
for module in pkgutil.iter_modules(exercises.__path__):
    bank = importlib.import_module(f"{exercises.__name__}.{module.name}")
    RIGHT |= bank.RIGHT
    WRONG |= bank.WRONG
