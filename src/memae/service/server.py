"""The server process: it listens, serves, and answers all accepted requests before it stops."""

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
"""Python's thread switch interval in seconds, a tenth of the default, so that computing does not delay HTTP."""
BACKLOG = 2048
KEPT = 75
"""Seconds for which an idle connection is kept open: longer than proxies keep theirs."""
GRACE = 5.0
"""Seconds after its deadline that an answer may still be sent while the service stops."""


def bound(host: str, port: int, token: str | None) -> socket.socket:
    """A listening socket.

    Args:
        host: name or address to listen on.
        port: port to listen on; 0 for any free one.
        token: the service's token; required if other machines can reach the address.

    Raises:
        OptionError: the address cannot be used, or other machines can reach it and there is no token.
    """
    if token is None and not loopback(host):
        raise OptionError(
            f"{host} can be reached from other machines; give --token-file FILE with a secret, or leave out --host"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"cannot listen on {host}, port {port}: {reason}; choose another --port or --host") from error


class Server(uvicorn.Server):
    """A server that stops gracefully: it answers accepted requests, and refuses new ones with 503.

    Args:
        service: the service that answers.
        limits: limits of the service; requests not answered one deadline after the stop signal are dropped.
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
        """Number of the signal that stopped it."""

    def serve_on(self, listening: socket.socket) -> None:
        """Serves until a signal arrives, and then answers the requests it has accepted."""
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH)
        gc.collect()
        gc.freeze()  # models and modules stay; collecting over them every few seconds would block answers for 250 ms
        logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings are answered with 422
        try:
            self.run(sockets=[listening])
        finally:
            gc.unfreeze()
            sys.setswitchinterval(before)
        if not self.force_exit:
            self._service.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Closes the gate at the first signal; a second one ends the server at once."""
        if self._service.gate.closed:
            super().handle_exit(sig, frame)
            self.force_exit = True
        self._service.gate.closed = True
        self.caught = sig

    async def on_tick(self, counter: int) -> bool:
        """Ends once the gate is closed and all requests are answered."""
        done = self._service.gate.closed and not self._service.gate.inside
        return await super().on_tick(counter) or done
