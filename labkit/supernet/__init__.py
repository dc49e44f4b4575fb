"""The supernet: elastic operators, subnets, batch-norm recalibration, evaluation, weight files."""
