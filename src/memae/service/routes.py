"""The HTTP routes; everything that does not concern HTTP is in other modules."""

import asyncio
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http import HTTPStatus
from typing import Annotated, Any, Literal

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from memae import __version__
from memae.data.dialects import WORDS, Dialect
from memae.errors import MemaeError
from memae.scoring.calibration import Judged
from memae.service import answers, page
from memae.service.front import ASSETS, refusal
from memae.service.limits import Deadline, Gate, Limits, Refused
from memae.service.metrics import Metrics
from memae.service.served import Answer, Served, Wanted, rows_of
from memae.service.shelves import ServedShelf
from memae.service.uploads import JSON, received, shown

PATHS = ("/", "/score", "/explain", "/models", "/health", "/metrics", "/openapi.json")
THREADS = 8
"""Maximum number of requests read in threads at the same time; small JSON requests need no thread."""
GONE = 499
"""Status for a client that has disconnected, as in nginx; it is never received."""
OF_TABLES = tuple(Dialect.__dataclass_fields__)
SCORE = ("model", "group", "shared", "ignore", "strict", *OF_TABLES)
EXPLAIN = (*SCORE, "sample", "items")
"""Query parameters."""

Models = Mapping[str, Served]
Name = Annotated[str | None, Query(description="Name of the model; not needed if there is only one.")]
Group = Annotated[
    tuple[str, ...],
    Query(description="Of models by group: that of all rows; repeat for each column. Else rows tell it."),
]
Shared = Annotated[bool, Query(description="Of models by group: score rows of other groups by the model they share.")]
Ignored = Annotated[tuple[str, ...], Query(description="Column of a table to leave out; repeat for each.")]
Strict = Annotated[
    bool,
    Query(description="Refuse columns of a table that the model was not fitted with, and another order in a file."),
]
Chosen = Annotated[
    tuple[Annotated[int, Query(ge=0)], ...],
    Query(description="Number of a sample to explain; repeat for each. By default all, or the worst frame of a video."),
]
Items = Annotated[int, Query(ge=0, le=100, description="Maximum number of memory items to return for each sample.")]


def _dialect(
    separator: Annotated[
        str | None, Query(description="Between columns: one character, or tab or space. By default detected.")
    ] = None,
    decimal: Annotated[Literal[".", ","] | None, Query(description="Decimal separator (detected).")] = None,
    thousands: Annotated[
        Literal[".", ",", "'", " ", "", "space", "apostrophe", "none"] | None,
        Query(description="Separator of thousands (detected)."),
    ] = None,
    encoding: Annotated[str | None, Query(description="Encoding, such as utf-8 or cp1252 (detected).")] = None,
    sheet: Annotated[str | None, Query(description="Sheet of an Excel file; by default the first.")] = None,
    header: Annotated[bool | None, Query(description="Whether the first line names the columns (detected).")] = None,
) -> Dialect:
    """How a table file is written, as far as the request says."""
    between, groups = (WORDS.get(each, each) if each else each for each in (separator, thousands))
    return Dialect(between, decimal, groups, encoding, sheet, header)


Written = Annotated[Dialect, Depends(_dialect)]


def _wanted(limits: Limits, served: Served, dialect: Dialect, **more: Any) -> Wanted:
    """The parameters of a request; those on files of tables are for models of tables."""
    if (dialect != Dialect() or more["strict"]) and served.row_schema() is None:
        raise Refused(
            422, f"{', '.join(OF_TABLES)} are for table models; the model {served.name!r} takes {served.takes}"
        )
    if (more["group"] or more["shared"]) and not isinstance(served, ServedShelf):
        raise Refused(422, f"group= and shared= are for models by group; {served.name!r} is a single model")
    return Wanted(Deadline(limits.seconds), dialect=dialect, **more)


def routed(models: Models, limits: Limits, gate: Gate, metrics: Metrics, *, secured: bool) -> FastAPI:
    """The application behind `Front`.

    Args:
        models: served models by name.
        limits: limits of requests.
        gate: knows whether the service is stopping.
        metrics: metrics for `/metrics`.
        secured: whether requests must send a token, for the OpenAPI document.
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
            wanted.deadline.left()  # raises if it has waited too long for a thread
            return work()

        return await anyio.to_thread.run_sync(begun, limiter=threads)

    @app.post("/score", openapi_extra=body, responses=answers.of(answers.Scored))
    async def score(
        request: Request,
        dialect: Written,
        model: Name = None,
        group: Group = (),
        shared: Shared = False,
        ignore: Ignored = (),
        strict: Strict = False,
    ) -> Response:
        """How anomalous each sample is: rows of a table, images, or frames of a video."""
        _check_parameters(request, SCORE)
        served = _found(models, model)
        wanted = _wanted(limits, served, dialect, group=group, shared=shared, ignore=ignore, strict=strict)
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
        dialect: Written,
        model: Name = None,
        group: Group = (),
        shared: Shared = False,
        ignore: Ignored = (),
        strict: Strict = False,
        sample: Chosen = (),
        items: Items = 5,
    ) -> Response:
        """Why samples have their scores: what was expected instead, which memory items were used, where they differ."""
        _check_parameters(request, EXPLAIN)
        served = _found(models, model)
        wanted = _wanted(
            limits, served, dialect, group=group, shared=shared, ignore=ignore, strict=strict, only=sample, items=items
        )
        async with received(request, limits, wanted.deadline) as given:
            return await in_thread(
                wanted, lambda: _json({"model": served.name, **served.explain(given, wanted).as_json()})
            )


def _check_parameters(request: Request, known: tuple[str, ...]) -> None:
    """Refuses unknown parameters, such as misspelled names, which would otherwise be ignored silently."""
    for name in request.query_params:
        if name not in known:
            raise Refused(422, f"{shown(name)!r} is no parameter of {request.url.path}; it takes {', '.join(known)}")


def _found(models: Models, name: str | None) -> Served:
    """The model called `name`, or without a name the only model."""
    names = ", ".join(models)
    if name is None and len(models) > 1:
        raise Refused(422, f"there are several models; choose one of {names} with ?model=NAME")
    if name is not None and name not in models:
        raise Refused(404, f"there is no model {name!r}; the models are {names}")
    return next(iter(models.values())) if name is None else models[name]


async def _in_time(answer: "Future[Judged]", wanted: Wanted) -> Judged:
    """The result of a worker; cancelled if it does not come in time."""
    try:
        return await asyncio.wait_for(asyncio.wrap_future(answer), wanted.deadline.left())
    except TimeoutError as error:
        raise wanted.deadline.missed() from error


def _scores(served: Served, answer: Answer) -> Response:
    return _json({"model": served.name, **served.rule, **answer.as_json()})


def _json(content: Mapping[str, Any]) -> Response:
    return Response(json.dumps(content, allow_nan=False), media_type=JSON)


def _answer_questions(app: FastAPI, models: Models, gate: Gate, metrics: Metrics) -> None:
    @app.get("/models", responses=answers.of(answers.Models))
    async def list_models() -> Response:
        """The models: the data they take, their thresholds and provenance."""
        return _json({"models": [served.described() for served in models.values()]})

    @app.get("/health", responses=answers.of(answers.Health))
    async def health() -> Response:
        """Whether requests are accepted: 200, or 503 while the service is stopping."""
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
    """A sentence for an unknown path or method, for which FastAPI only names the status."""
    if error.status_code not in (404, 405) or error.detail != HTTPStatus(error.status_code).phrase:
        return str(error.detail)
    return f"{request.method} {shown(request.url.path)} is not known; POST to /score or /explain, see /openapi.json"


def _refuse(app: FastAPI) -> None:
    """Makes every refusal, from whatever layer, a sentence in JSON."""

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
        reasons = "; ".join(f"{each['loc'][1]}: {each['msg']}" for each in error.errors())
        return refusal(Refused(422, reasons))

    @app.exception_handler(ClientDisconnect)
    async def _(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=GONE)

    @app.exception_handler(Exception)
    async def _(_: Request, error: Exception) -> Response:
        return refusal(Refused(500, f"internal error ({type(error).__name__}); see the service's log"))
