"""The supernet: elastic operators, subnets, batch-norm recalibration, evaluation, weights on disk."""
