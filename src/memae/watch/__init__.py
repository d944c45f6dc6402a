"""Watching: scores and alarms of frames as they arrive, their events, and the overlay video."""
