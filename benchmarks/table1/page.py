"""Renders docs/reproduce.md."""


def render() -> None:
    """Writes the page."""
