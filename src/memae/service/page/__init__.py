"""The page at `/`: plain HTML, CSS and JavaScript, without external resources."""

from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

from memae.markup import STYLE

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


class Asset(NamedTuple):
    """A file of the page."""

    content: bytes
    kind: str


def assets() -> Mapping[str, Asset]:
    """All files of the page by name, in memory; `report.css` is the style that reports also use."""
    found = {"report.css": Asset(STYLE.encode(), KINDS[".css"])}
    for file in resources.files(__name__).iterdir():
        kind = KINDS.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            found[file.name] = Asset(file.read_bytes(), kind)
    return found
