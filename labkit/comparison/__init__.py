"""Comparisons: devices with each other and with what others published, predictions with
measurements, what a search finds with what people do without one.

side_by_side         the same subnets on several devices, and how each of these was measured
prediction_error     predicted latencies beside those that were measured
published_latencies  a simulated device beside what was published for it
published_subnets    subnets of the official supernets that others specialized for their devices
hand_scaled          networks of one design, scaled in resolution and width
reference_networks   the networks that were timed for these publications, as lists of operators
nas_bench_201        those of one benchmark, and what runtimes execute of them
timed_networks       thousands of them with latencies, from public files
device_fit           fitting a simulated device to latencies, and leaving each network out in turn
"""
