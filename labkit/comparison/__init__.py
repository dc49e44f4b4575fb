"""Comparisons: devices with each other and with what others published, predictions with
measurements.

side_by_side         the same subnets on several devices, and how each of these was measured
prediction_error     predicted latencies beside those that were measured
published_latencies  a simulated device beside what was published for it
reference_networks   the networks that were timed for these publications, as lists of operators
"""
