"""The paper, reproduced: its tables and figures, every method compared there, readers of its data sets.

The figures that the paper publishes stand here and nowhere else. `memae` imports none of it.
"""
