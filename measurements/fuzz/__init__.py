"""Hostile files by the hundred thousand, in watched processes: no crash, no hang, no memory beyond a limit."""
