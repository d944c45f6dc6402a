"""The process: a socket, a server, and an end that leaves nobody without an answer."""

import gc
import logging
import socket
import sys
from types import FrameType
from typing import Any

import uvicorn

from memae.errors import OptionError
from memae.service.app import Service
from memae.service.front import loopback
from memae.service.limits import Limits

SWITCH = 0.0005
"""Seconds after which a thread that computes in Python lets the one go on that answers; ten times as long elsewhere."""
BACKLOG = 2048
KEPT = 75
"""Seconds for which a connection is kept without a request: longer than proxies keep theirs."""
GRACE = 5.0
"""Seconds beyond its deadline that an answer may take to be sent when the service stops."""


def bound(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or address.
        port: 0 for any that is free.
        token: needed wherever other machines can reach.

    Raises:
        OptionError: the address cannot be had, or can be reached from elsewhere while there is no token.
    """
    if token is None and not loopback(host):
        raise OptionError(
            f"{host} can be reached from other machines; give --token-file FILE with a secret, or leave --host away"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot listen on {host}, port {port}: {reason}; choose another --port or --host") from error


class Server(uvicorn.Server):
    """A server that goes on answering while it stops: with 503 to those who come, with scores to those who were in.

    Args:
        service: that answers.
        limits: of the service; one deadline after the end was asked for, whatever is left is dropped.
    """

    def __init__(self, service: Service, limits: Limits) -> None:
        grace = int(limits.seconds + GRACE)
        quiet: dict[str, Any] = {"log_level": "warning", "access_log": False, "server_header": False}
        super().__init__(
            uvicorn.Config(
                service,
                lifespan="off",
                ws="none",
                timeout_keep_alive=KEPT,
                timeout_graceful_shutdown=grace,
                backlog=BACKLOG,
                **quiet,
            )
        )
        self._service = service
        self.caught = 0
        """Number of the signal that has ended it."""

    def serve_on(self, listening: socket.socket) -> None:
        """Serves until a signal comes, and then answers what it has accepted."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        gc.collect()
        gc.freeze()  # models and modules stay; to look through them every few seconds would stop all answers for 250 ms
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what it warns of is answered with 422
        try:
            self.run(sockets=[listening])
        finally:
            gc.unfreeze()
            sys.setswitchinterval(before)
        if not self.force_exit:
            self._service.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal closes the gate, a second one ends at once."""
        if self._service.gate.closed:
            super().handle_exit(sig, frame)
            self.force_exit = True
        self._service.gate.closed = True
        self.caught = sig

    async def on_tick(self, counter: int) -> bool:
        """Ends when nobody is inside any more."""
        done = self._service.gate.closed and not self._service.gate.inside
        return await super().on_tick(counter) or done
