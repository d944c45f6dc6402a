"""The reproduction of the paper: its tables and figures, all compared methods, and readers of its data sets.

The published figures are here and nowhere else. `memae` does not import this package.
"""
