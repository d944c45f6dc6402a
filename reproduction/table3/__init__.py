"""Table 3: KDDCUP99 10 percent, every method of the paper, controls, and ours."""
