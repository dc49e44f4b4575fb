"""Simulated devices: a roofline by operator kind, checked against published latencies."""
