"""Watching: scores and alarms of frames as they come, what is told of them, and what they look like."""
