"""The raw world → tensors, and where each sample came from."""
