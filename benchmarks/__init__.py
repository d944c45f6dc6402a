"""The old name of `reproduction` and `measurements`; their results still lie here, in `results`."""
