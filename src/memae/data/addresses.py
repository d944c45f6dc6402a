"""Live sources: cameras and stream addresses, and how their names are shown without secrets."""

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
    """The camera (`0`, `/dev/video0`) or address (`rtsp://…`) that `text` names; None if it is a path.

    Raises:
        OptionError: the scheme of the address is not in `SCHEMES`.
        SourceError: the camera does not exist, or the system is not Linux.

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
        raise OptionError(f"{name} begins with {scheme}://; supported are {known}, a path, or a camera's number")
    return Live(name, text, options={"rtsp_transport": "tcp"} if scheme.lower().startswith("rtsp") else {})


def without_secrets(source: str) -> str:
    """A source that is safe to print: user, password and query of an address are replaced by ***.

    A password may contain any character, so everything up to the last "@" is replaced.

    Example:
        >>> without_secrets("rtsp://me:p@ss/word@door:554/1?token=5"), without_secrets("films/a@b?.mp4")
        ('rtsp://***@door:554/1?***', 'films/a@b?.mp4')
    """
    scheme, separator, rest = source.partition("://")
    if not separator:
        return source
    location, mark, query = rest.partition("?")
    _, at, host = location.rpartition("@")
    if not at and "@" in query:  # the "?" may be part of a password
        return f"{scheme}://***"
    return f"{scheme}://{'***@' if at else ''}{host}{'?***' if mark else ''}"


def _camera(text: str) -> Live:
    device = Path(f"/dev/video{text}" if text.isdigit() else text)
    if not sys.platform.startswith("linux"):
        raise SourceError(f"camera {text}: cameras are supported on Linux only; give the address of a stream instead")
    if not device.exists():
        there = ", ".join(sorted(str(each) for each in Path("/dev").glob("video*"))) or "none"
        raise SourceError(f"there is no camera {device} (found: {there}); plug it in, or give another number")
    return Live(str(device), str(device), "v4l2")
