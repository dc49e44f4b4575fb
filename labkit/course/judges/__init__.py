"""The exercises of each notebook: one module a notebook, each with a tuple `EXERCISES`.

A judge compares with an independent reference or with laws, never with the text of our own
solution.
"""
