"""Pages written by people, with a part that is rendered."""

import re
from collections.abc import Sequence
from pathlib import Path

BEGIN, END = "<!-- measured -->", "<!-- end -->"
"""Marks around that part."""


def replace(page: Path, lines: Sequence[str]) -> None:
    """Writes these lines between the marks of the page."""
    text = "\n".join([BEGIN, *lines, END])
    whole = page.read_text(encoding="utf-8")
    page.write_text(re.sub(f"{BEGIN}.*?{END}", lambda _: text, whole, flags=re.DOTALL), encoding="utf-8")
