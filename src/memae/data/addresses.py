"""What can be watched beside files and folders: cameras and addresses, and how they are shown."""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from memae.errors import OptionError, SourceError

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "tcp", "udp")


class Live(NamedTuple):
    """A camera or an address."""

    name: str  # as it was given
    url: str  # what FFmpeg opens
    format: str | None = None
    options: dict[str, str] = {}  # noqa: RUF012 (never changed)


def live_source(text: str) -> Live | None:
    """The camera (`0`, `/dev/video0`) or the address (`rtsp://…`) that `text` means; None where it is a path.

    Raises:
        OptionError: an address of an unknown kind.
        SourceError: cameras by their number are known on Linux alone, or there is none of this number.

    Example:
        >>> live_source("rtsp://door/1").name, live_source("door.mp4")
        ('rtsp://door/1', None)
    """
    if re.fullmatch(r"\d+", text) or text.startswith("/dev/video"):
        return _camera(text)
    scheme, separator, _ = text.partition("://")
    if not separator:
        return None
    name = without_secrets(text)
    if scheme.lower() not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise OptionError(f"{name} begins with {scheme}://; known are {known}; else give a path or a camera's number")
    return Live(name, text, options={"rtsp_transport": "tcp"} if scheme.lower().startswith("rtsp") else {})


def without_secrets(source: str) -> str:
    """A source as it may be shown: of an address neither user and password nor what follows a "?".

    A password may hold any sign, so that all up to the last "@" is hidden.

    Example:
        >>> without_secrets("rtsp://me:p@ss/word@door:554/1?token=5"), without_secrets("films/a@b?.mp4")
        ('rtsp://***@door:554/1?***', 'films/a@b?.mp4')
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    place, asked, query = rest.partition("?")
    _, at, host = place.rpartition("@")
    if not at and "@" in query:  # the "?" may be of a password
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{host}{'?***' if asked else ''}"


def _camera(text: str) -> Live:
    device = Path(f"/dev/video{text}" if text.isdigit() else text)
    if not sys.platform.startswith("linux"):
        raise SourceError(f"camera {text}: cameras are read on Linux alone; give the address of a stream instead")
    if not device.exists():
        there = ", ".join(sorted(str(each) for each in Path("/dev").glob("video*"))) or "none"
        raise SourceError(f"there is no camera {device} (found: {there}); plug it in, or give another number")
    return Live(str(device), str(device), "v4l2")
