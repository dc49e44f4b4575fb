"""labkit: the Once-for-All lab. Train one supernet, then give every device its own subnet.

Nothing is imported here: `labkit.space`, `labkit.tables.costs` and `labkit.search` work without
torch, and stay quick to import that way.
"""

__version__ = "0.1.0"
