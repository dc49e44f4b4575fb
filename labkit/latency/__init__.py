"""Latency: simulated devices, measuring on this machine, lookup tables, and kits for other boards.

Nothing is imported here: a simulated device answers without torch and without a runtime.
"""
