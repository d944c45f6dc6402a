"""docs/takes.md and its pictures, from the records; a placeholder until the next commit."""


def render() -> None:
    """Writes the page."""
