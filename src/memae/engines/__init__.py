"""Engines other than torch: the export of a scorer as a graph (`graphs`), and its execution (`runtimes`)."""
