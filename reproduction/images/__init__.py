"""Photos of parts: ours beside methods over the same pretrained features, on sets in the layout of MVTec AD."""
