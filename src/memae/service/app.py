"""The service: fitted detectors over HTTP."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from memae.errors import OptionError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE
from memae.service.front import Access, Front
from memae.service.images import ServedImages
from memae.service.limits import Gate, Limits
from memae.service.metrics import Metrics
from memae.service.routes import PATHS, routed
from memae.service.served import Observer, Served
from memae.service.tables import ServedTable
from memae.service.videos import ServedVideos
from memae.service.windows import ServedWindows

DEFAULTS = Limits()


class Service:
    """Fitted detectors over HTTP, as an ASGI application.

    Args:
        models: detectors by name.
        limits: limits of requests.
        token: secret that requests must send; without one, only requests to localhost are answered.

    Raises:
        OptionError: no model is given, or the token is too short.
    """

    def __init__(self, models: Mapping[str, Estimator], *, limits: Limits = DEFAULTS, token: str | None = None) -> None:
        if not models:
            raise OptionError("the service needs at least one model")
        access = Access(token)
        self.gate = Gate(limits)
        metrics = Metrics(lambda: self.gate.inside)
        self.models = {name: _served(name, each, limits, metrics.observer(name)) for name, each in models.items()}
        metrics.watch(self.models.values())
        self._app = routed(self.models, limits, self.gate, metrics, secured=token is not None)
        self._front = Front(self._app, access, self.gate, limits, metrics, PATHS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; see ASGI."""
        await self._front(scope, receive, send)

    def close(self) -> None:
        """Ends the threads of all models after their pending work."""
        for each in self.models.values():
            each.close()


def _served(name: str, estimator: Estimator, limits: Limits, observe: Observer) -> Served[Any]:
    """An estimator as a served model of its kind."""
    match estimator:
        case TabularMemAE():
            return (ServedTable if estimator.windows_ is None else ServedWindows)(name, estimator, limits, observe)
        case ImageMemAE():
            return ServedImages(name, estimator, limits, observe)
        case VideoMemAE():
            return ServedVideos(name, estimator, limits, observe)
    raise OptionError(f"the model {name!r} is for {estimator.kind} data, which the service does not know")
