"""The checks before a request is read: access, size and load."""

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memae.errors import OptionError
from memae.service.limits import Gate, Limits, Refused
from memae.service.metrics import Metrics

OPEN = ("/", "/health")
ASSETS = "/page/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
DIGITS = 20
"""A Content-Length must have fewer digits to be believed; the bytes received are counted in any case."""
SHORTEST = 16
"""Minimum number of characters of a token."""


@dataclass(frozen=True)
class Access:
    """Access control.

    Without a token, the service only answers requests whose Host header names this machine. This prevents DNS
    rebinding: a web page open in a browser here could otherwise point its own host name at the service and read the
    answers.

    Raises:
        OptionError: the token is too short.
    """

    token: str | None = None

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < SHORTEST:
            raise OptionError(f"a token must have {SHORTEST} characters or more; got {len(self.token)}")

    def check(self, path: str, headers: Headers) -> None:
        """Checks the token, or without one the Host header.

        Raises:
            Refused: 401 for a missing or wrong token, 403 for another host than this machine.
        """
        if self.token is None:
            if not loopback(_host(headers.get("host", ""))):
                raise Refused(403, "without a token the service answers only as localhost; start it with --token-file")
        elif path not in OPEN and not path.startswith(ASSETS):
            given = headers.get("authorization", "").encode()
            if not secrets.compare_digest(given, f"Bearer {self.token}".encode()):
                raise Refused(401, "the token is missing or wrong; send it as Authorization: Bearer TOKEN")


@lru_cache(maxsize=64)  # called for every request
def loopback(host: str) -> bool:
    """Whether a name or address can only be reached from this machine.

    >>> loopback("localhost"), loopback("127.0.0.1"), loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _host(header: str) -> str:
    """The host name in a Host header, without its port."""
    return header[1:].partition("]")[0] if header.startswith("[") else header.partition(":")[0]


def refusal(refused: Refused) -> Response:
    """The response to a refused request."""
    headers = {}
    if refused.retry_after is not None:
        headers["Retry-After"] = str(max(round(refused.retry_after), 1))
    if refused.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = json.dumps({"error": str(refused)})  # in ASCII, since it may quote lone surrogates
    return Response(content, refused.status, headers, "application/json")


class Front:
    """The outermost layer: access, limits, security headers and metrics; it knows nothing of models.

    Args:
        app: application that answers admitted requests.
        access: access control.
        gate: limits the number of requests at once.
        limits: limits of requests.
        metrics: counts each request.
        paths: paths with metrics of their own; all others are counted together.
    """

    def __init__(
        self, app: ASGIApp, access: Access, gate: Gate, limits: Limits, metrics: Metrics, paths: Iterable[str]
    ) -> None:
        self._app = app
        self._access = access
        self._gate = gate
        self._limits = limits
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._admitted(scope, receive, sent)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - began)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            self._access.check(scope["path"], headers)
            if scope["method"] != "POST":
                await self._app(scope, receive, send)
                return
            size = self._announced(headers)
            self._gate.enter(size)
        except Refused as error:
            await refusal(error)(scope, receive, send)
            return
        try:
            await self._app(scope, self._counted(receive), send)
        finally:
            self._gate.leave(size)

    def _announced(self, headers: Headers) -> int:
        """The Content-Length, or without a valid one the maximum size of a body."""
        length = headers.get("content-length", "")
        return int(length) if length.isdecimal() and len(length) < DIGITS else self._limits.size

    def _counted(self, receive: Receive) -> Receive:
        """A receiver that raises Refused once the body is too large."""
        size = 0

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._limits.size:
                raise self._limits.too_large()
            return message

        return counted
