"""Hostile files of every format that memae reads: `python -m measurements fuzz` tries them in watched processes.

Each module has a `Format`: valid files, how they are spoiled, and a target, which feeds bytes to the functions behind
the command line. `python -m fuzz FORMAT FILE` tries a file once more and shows where it fails.
"""
