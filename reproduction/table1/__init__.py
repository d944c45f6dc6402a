"""Table 1: ten one-class problems a data set, every method of the paper, the controls, and ours."""
