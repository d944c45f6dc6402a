"""Fuzzing with hostile files of every format that memae reads; `python -m measurements fuzz` runs a campaign.

Each module has a `Format`: valid files, mutations of them, and a target, which feeds bytes to the functions behind
the command line. `python -m fuzz FORMAT FILE` reproduces a single file and shows where it fails.
"""
