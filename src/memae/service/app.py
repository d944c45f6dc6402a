"""The service: fitted detectors over HTTP."""

from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from memae.errors import OptionError
from memae.estimators import Estimator, ImageMemAE, TabularMemAE, VideoMemAE
from memae.scoring.calibration import Judged
from memae.service.batching import Worker
from memae.service.front import Access, Front
from memae.service.images import ServedImages
from memae.service.limits import Gate, Limits
from memae.service.metrics import Metrics
from memae.service.routes import PATHS, routed
from memae.service.served import Observer, Score, Served
from memae.service.shelves import ServedShelf
from memae.service.tables import ServedTable
from memae.service.videos import ServedVideos
from memae.service.windows import ServedWindows
from memae.shelves.reading import Shelf

DEFAULTS = Limits()


class Service:
    """Fitted detectors over HTTP, as an ASGI application.

    Args:
        models: detectors, or shelves of them, by name.
        limits: limits of requests.
        token: secret that requests must send; without one, only requests to localhost are answered.

    Raises:
        OptionError: no model is given, or the token is too short.
    """

    def __init__(
        self, models: Mapping[str, Estimator | Shelf], *, limits: Limits = DEFAULTS, token: str | None = None
    ) -> None:
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


def _served(name: str, model: Estimator | Shelf, limits: Limits, observe: Observer) -> Served:
    """An estimator or a shelf as a served model of its kind."""

    def worker(score: Score, most: int) -> Worker[Any, Judged]:
        return Worker(name, score, most, observe)

    match model:
        case Shelf():
            return ServedShelf(name, model, limits, worker)
        case TabularMemAE():
            return (ServedTable if model.windows_ is None else ServedWindows)(name, model, limits, worker)
        case ImageMemAE():
            return ServedImages(name, model, limits, worker)
        case VideoMemAE():
            return ServedVideos(name, model, limits, worker)
    raise OptionError(f"the model {name!r} is for {model.kind} data, which the service does not know")
