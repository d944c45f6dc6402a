"""The routes: what HTTP asks and how it is answered; everything that could be said without HTTP is said elsewhere."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from memae import __version__
from memae.errors import MemaeError
from memae.scoring.calibration import Judged
from memae.service import answers, page
from memae.service.front import ASSETS, refusal
from memae.service.limits import Deadline, Gate, Limits, Refused
from memae.service.metrics import Metrics
from memae.service.served import Answer, Served, Wanted, rows_of
from memae.service.uploads import JSON, received, shown

PATHS = ("/", "/score", "/explain", "/models", "/health", "/metrics", "/openapi.json")
THREADS = 8
"""Requests with files that are read at the same time; few rows of JSON need no thread of their own."""
GONE = 499
"""Status for a client that left before it was answered, as nginx has it; nobody reads it."""
SCORE = ("model", "ignore")
EXPLAIN = (*SCORE, "sample", "items")
"""Parameters in the address."""

Models = Mapping[str, Served[Any]]
Name = Annotated[str | None, Query(description="Name of the model; not needed where there is only one.")]
Ignored = Annotated[tuple[str, ...], Query(description="Column of a table to leave out; repeat for each.")]
Chosen = Annotated[
    tuple[Annotated[int, Query(ge=0)], ...],
    Query(description="Number of a sample to explain; repeat for each. By default all, of a video the worst frame."),
]
Items = Annotated[int, Query(ge=0, le=100, description="Memory items to tell of each sample, at most.")]


def routed(models: Models, limits: Limits, gate: Gate, metrics: Metrics, *, secured: bool) -> FastAPI:
    """The application behind `Front`.

    Args:
        models: by name.
        limits: what is taken at most.
        gate: tells whether the service stops.
        metrics: that `/metrics` tells.
        secured: whether requests must show a token, for the OpenAPI document.
    """
    app = FastAPI(title="memae", version=__version__, docs_url=None, redoc_url=None, description=answers.ABOUT)
    _answer_samples(app, models, limits)
    _answer_questions(app, models, gate, metrics)
    _answer_browsers(app)
    _refuse(app)
    document = app.openapi()
    if secured:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return app


def _answer_samples(app: FastAPI, models: Models, limits: Limits) -> None:
    body = answers.request_body(models.values())
    threads = anyio.CapacityLimiter(THREADS)

    async def in_thread(wanted: Wanted, work: Callable[[], Response]) -> Response:
        def begun() -> Response:
            wanted.deadline.left()  # for it may have waited for a thread
            return work()

        return await anyio.to_thread.run_sync(begun, limiter=threads)

    @app.post("/score", openapi_extra=body, responses=answers.of(answers.Scored))
    async def score(request: Request, model: Name = None, ignore: Ignored = ()) -> Response:
        """How anomalous each sample is: rows of a table, pictures, or the frames of a video."""
        _check_parameters(request, SCORE)
        served = _found(models, model)
        wanted = Wanted(Deadline(limits.seconds), ignore)
        async with received(request, limits, wanted.deadline) as given:
            answer = served.quick(given, wanted)
            if answer is None:
                return await in_thread(wanted, lambda: _scores(served, served.score(given, wanted)))
            judged = await _in_time(answer, wanted)
            rows = rows_of(judged, ({"row": number} for number in range(len(judged.score))))
            return _scores(served, Answer(list(rows)))

    @app.post("/explain", openapi_extra=body, responses=answers.of(answers.Explained))
    async def explain(
        request: Request,
        model: Name = None,
        ignore: Ignored = (),
        sample: Chosen = (),
        items: Items = 5,
    ) -> Response:
        """Why samples have their scores: what was expected instead, what memory items answered, where it differs."""
        _check_parameters(request, EXPLAIN)
        served = _found(models, model)
        wanted = Wanted(Deadline(limits.seconds), ignore, sample, items)
        async with received(request, limits, wanted.deadline) as given:
            return await in_thread(
                wanted, lambda: _json({"model": served.name, **served.explain(given, wanted).as_json()})
            )


def _check_parameters(request: Request, known: tuple[str, ...]) -> None:
    """Refuses what would be passed over in silence, as a misspelled name."""
    for name in request.query_params:
        if name not in known:
            raise Refused(422, f"{shown(name)!r} is no parameter of {request.url.path}; it takes {', '.join(known)}")


def _found(models: Models, name: str | None) -> Served[Any]:
    """The model of a name, or the only one."""
    names = ", ".join(models)
    if name is None and len(models) > 1:
        raise Refused(422, f"there are several models; choose one of {names} with ?model=NAME")
    if name is not None and name not in models:
        raise Refused(404, f"there is no model {name!r}; there is {names}")
    return next(iter(models.values())) if name is None else models[name]


async def _in_time(answer: "Future[Judged]", wanted: Wanted) -> Judged:
    """The answer of a worker; taken back if it does not come in time."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), wanted.deadline.left())
    except TimeoutError as error:
        raise wanted.deadline.missed() from error


def _scores(served: Served[Any], answer: Answer) -> Response:
    return _json({"model": served.name, **served.rule, **answer.as_json()})


def _json(content: Mapping[str, Any]) -> Response:
    return Response(json.dumps(content, allow_nan=False), media_type=JSON)


def _answer_questions(app: FastAPI, models: Models, gate: Gate, metrics: Metrics) -> None:
    @app.get("/models", responses=answers.of(answers.Models))
    async def list_models() -> Response:
        """The models, what they take and how they judge."""
        return _json({"models": [served.described() for served in models.values()]})

    @app.get("/health", responses=answers.of(answers.Health))
    async def health() -> Response:
        """Whether requests are taken: 200, or 503 once the service stops."""
        if gate.closed:
            return Response(json.dumps({"status": "stopping"}), 503, media_type=JSON)
        return _json({"status": "ok"})

    @app.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
    async def tell_metrics() -> Response:
        """Counters and histograms, for Prometheus."""
        return Response(metrics.told(), media_type="text/plain; version=0.0.4")


def _answer_browsers(app: FastAPI) -> None:
    assets = page.assets()

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return await asset("index.html")

    @app.get(ASSETS + "{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in assets:
            raise HTTPException(404, f"there is no {ASSETS}{name}")
        found = assets[name]
        return Response(found.content, media_type=found.kind)


def _missed(request: Request, error: HTTPException) -> str:
    """What is wrong with an address or its method; FastAPI only names the status."""
    if error.status_code not in (404, 405) or error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    return f"{request.method} {shown(request.url.path)} is not known; POST to /score or /explain, see /openapi.json"


def _refuse(app: FastAPI) -> None:
    """Every refusal is a sentence in JSON, whoever refuses."""

    @app.exception_handler(Refused)
    async def _(_: Request, error: Refused) -> Response:
        return refusal(error)

    @app.exception_handler(MemaeError)
    async def _(_: Request, error: MemaeError) -> Response:
        return refusal(Refused.of(error))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        response = refusal(Refused(error.status_code, _missed(request, error)))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{each['loc'][1]}: {each['msg']}" for each in error.errors())
        return refusal(Refused(422, told))

    @app.exception_handler(ClientDisconnect)
    async def _(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=GONE)

    @app.exception_handler(Exception)
    async def _(_: Request, error: Exception) -> Response:
        return refusal(Refused(500, f"internal error ({type(error).__name__}); the service's log says where"))
