"""The paths of the service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from recbole_genrec import __version__
from recbole_genrec.errors import InputError, shortened
from recbole_genrec.inference import Recommender
from recbole_genrec.serve import questions
from recbole_genrec.serve.batcher import Batcher, Busy
from recbole_genrec.serve.memory import give_back_memory
from recbole_genrec.serve.questions import BeamQuestion, Limits, Question
from recbole_genrec.serve.titles import TitleSearch

PAGE = Path(__file__).with_name("page.html")
# The page is all that a browser loads, and nothing may come or go elsewhere.
PAGE_POLICY = "default-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'"
FOUND = 100  # items that a search gives at most
LONGEST_PROBLEM = 500  # letters of a message, which may quote what was asked
CLIENT_LEFT = 499  # nginx's number, as HTTP has none


def create_app(recommender: Recommender, limits: Limits | None = None) -> FastAPI:
    """The service of a model, for any ASGI server.

    Args:
        recommender: the model.
        limits: of requests; the usual ones if not given.

    Raises:
        InputError: for a model that cannot answer from the items of a history.
    """
    _keep_few_kernels()
    _try_out(recommender)
    service = Service(recommender, limits or Limits())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        giving_back = asyncio.create_task(give_back_memory())
        async with service.batcher:
            yield
        giving_back.cancel()

    app = FastAPIOffline(
        title=f"Recommendations of {recommender.name}",
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        exception_handlers={
            InputError: _refuse,
            RequestValidationError: _refuse_fields,
            HTTPException: _refuse_body,
            Busy: _refuse_for_now,
        },
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=service.limits.body)
    add = app.add_api_route
    for path, answer, model in (
        ("/recommend", service.recommend, questions.Recommendations),
        ("/beam", service.beam, questions.Beam),
    ):
        add(path, answer, methods=["POST"], response_model=model, responses=PROBLEMS)
    add("/items", service.items, response_model=questions.FoundItems, responses=REFUSED)
    add("/health", service.health, response_model=questions.Health)
    add("/", service.page, include_in_schema=False)
    shown: dict[str, Callable[..., Any]]
    shown = {"/": service.page, "/items": service.items, "/health": service.health}
    for path, read in shown.items():
        add(path, read, methods=["HEAD"], include_in_schema=False)  # as probes ask
    return app


@dataclass(frozen=True)
class Call:
    """A function of histories with its options; equal ones share a batch."""

    function: Callable[..., Sequence[Any]]
    options: dict[str, Any]

    def __call__(self, histories: Sequence[Sequence[str]]) -> Sequence[Any]:
        return self.function(histories, **self.options)


class Service:
    """What answers the requests for each path; docstrings stand on the page of the API.

    Args:
        recommender: the model.
        limits: of requests.
    """

    def __init__(self, recommender: Recommender, limits: Limits) -> None:
        self.recommender, self.limits = recommender, limits
        self.batcher = Batcher(limits.batch, limits.wait, limits.queue)
        self.search = TitleSearch(recommender.catalogue.items)

    async def recommend(self, question: Question, request: Request) -> Response:
        """The most likely next items of a `history`, or of each of several `histories`."""
        histories = question.asked()
        self._check(question, histories)
        call = Call(self.recommender.recommend, question.options())
        answers = await self._ask(call, histories, request)
        return JSONResponse({"recommendations": answers if question.histories else answers[0]})

    async def beam(self, question: BeamQuestion, request: Request) -> Response:
        """How the beam search for the list of a history goes down the codes, level by level."""
        self._check(question, [question.history])
        call = Call(self._beams, question.options())
        (levels,) = await self._ask(call, [question.history], request)
        found = [[prefix._asdict() for prefix in level] for level in levels]
        return JSONResponse({"levels": found})

    def items(
        self,
        query: Annotated[str, Query(max_length=200, description="Words of a title.")] = "",
        limit: Annotated[int, Query(ge=1, le=FOUND)] = 20,
    ) -> Response:
        """Items with all words of the query in their titles; first the item of that token."""
        return JSONResponse({"items": self.search(query, limit)})

    async def health(self) -> Response:
        """What runs, and how many histories wait."""
        return JSONResponse(
            {
                "status": "ok",
                "model": self.recommender.name,
                "items": self.recommender.num_items,
                "beam": self.recommender.searches_by_beam,
                "waiting": self.batcher.waiting_histories,
            }
        )

    async def page(self) -> Response:
        """The page to try the service."""
        headers = {"Content-Security-Policy": PAGE_POLICY}
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=headers)

    async def _ask(
        self, call: Call, histories: Sequence[Sequence[str]], request: Request
    ) -> Sequence[Any]:
        """What the model answers, which need not begin for a client that has left meanwhile."""
        asked = asyncio.ensure_future(self.batcher.ask(call, histories))
        left = asyncio.ensure_future(_leaves(request))
        try:
            await asyncio.wait((asked, left), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise HTTPException(CLIENT_LEFT, "the client has closed the connection")
            return asked.result()
        finally:
            asked.cancel()
            left.cancel()

    def _beams(self, histories: Sequence[Sequence[str]], **options: Any) -> list:
        return [self.recommender.beam(history, **options) for history in histories]

    def _check(self, question: Question | BeamQuestion, histories: list[list[str]]) -> None:
        """Raise an InputError before a faulty request can spoil a batch."""
        question.check(histories, self.limits)
        given = question.top_k, question.allowed_items, question.unknown_items
        self.recommender.check(histories, *given)


def _try_out(recommender: Recommender) -> None:
    """One question, so that what cannot answer is found out, and what is built first is there."""
    recommender.recommend([recommender.catalogue.items.tokens[1:2]], top_k=1)


def _keep_few_kernels() -> None:
    """Have oneDNN keep the kernels of the last shapes only, unless its user has decided otherwise.

    It would keep those of 1024. As hardly two batches have the same shapes, none is used again,
    and they come to hundreds of MiB.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


async def _leaves(request: Request) -> None:
    """Return when the client has closed the connection; its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    detail = shortened(detail, LONGEST_PROBLEM)
    # half characters, which JSON lets pass, would not get into the answer
    detail = detail.encode("utf-8", "replace").decode("utf-8")
    return JSONResponse({"detail": detail}, status, headers)


async def _refuse(request: Request, error: Exception) -> Response:
    return _problem(422, str(error))


async def _refuse_fields(request: Request, error: Exception) -> Response:
    """The first field that is wrong, and what was found there."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    kind = request.headers.get("Content-Type", "none")
    if len(first["loc"]) == 1 and not kind.startswith("application/json"):
        return _problem(422, f"Content-Type should be application/json, found [{shortened(kind)}]")
    if first["type"] == "json_invalid":
        place = f"character {first['loc'][1] + 1}"
        return _problem(422, f"body: expected JSON, found {first['ctx']['error']} at {place}")
    place = ".".join(str(part) for part in first["loc"][1:]) or "body"
    message = first["msg"].removeprefix("Value error, ")
    return _problem(422, f"{place}: {message}, found [{shortened(first['input'])}]")


async def _refuse_body(request: Request, error: Exception) -> Response:
    """What is no request of this service; a body that cannot be read is said to be one."""
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 400:
        detail = "body: expected JSON in UTF-8 that is not nested deeply"
    return _problem(error.status_code, detail, error.headers)


async def _refuse_for_now(request: Request, error: Exception) -> Response:
    detail = "too many requests are waiting for the model: try again in a moment"
    return _problem(503, detail, {"Retry-After": "1"})


REFUSED: dict[int | str, dict[str, Any]] = {
    422: {"model": questions.Problem, "description": "A field is wrong, or an item is unknown"}
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    413: {"description": "The body is too long"},
    **REFUSED,
    503: {"model": questions.Problem, "description": "Too many requests are waiting"},
}
