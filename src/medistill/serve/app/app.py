"""The app: endpoints behind the guard, and the model loaded while it already answers."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from medistill import __version__
from medistill.serve.app import forms
from medistill.serve.app.door.guard import FAULT, Access, Guard
from medistill.serve.app.door.limits import Limits
from medistill.serve.app.door.refusal import RefusedError
from medistill.serve.app.routes import about, ask, images
from medistill.serve.app.served import Served, Service

log = logging.getLogger(__name__)
_DESCRIPTION = (
    f"{about.NOTICE} Every path below /v1 but /v1/about takes the token of the server in the header "
    "`Authorization: Bearer TOKEN`, if it asks for one."
)
_SWEEP = 30.0  # seconds between looks for images to forget


def create_app(
    load: Callable[[], Served],
    access: Access,
    limits: Limits,
    *,
    phantoms: bool,
    loaded: Callable[[BaseException | None], None] = lambda error: None,
) -> Guard:
    """The server as an ASGI app, guarded; `.app` of it is the FastAPI app.

    load      makes what is served, in a thread; until it is done requests are answered 503
    loaded    told in the event loop that it is done, or why it failed
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        service = Service(limits, token_required=access.token is not None, phantoms=phantoms)
        app.state.service = service
        tasks = [asyncio.create_task(_load(service, load, loaded)), asyncio.create_task(_sweep(service))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            service.close()

    app = FastAPI(
        title="medistill",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=forms.ERRORS,
        redirect_slashes=False,
    )
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _fault)
    for part in (about, images, ask):
        app.include_router(part.router)
    return Guard(app, access, limits)


async def _load(
    service: Service, load: Callable[[], Served], loaded: Callable[[BaseException | None], None]
) -> None:
    try:
        service.loaded = await asyncio.to_thread(load)
    except Exception as error:
        loaded(error)
    else:
        loaded(None)


async def _sweep(service: Service) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        service.kept.expire()


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"error": error.message}, error.status, error.headers)


def _http_error(request: Request, error: Exception) -> Response:
    """Of the framework: a path or method that is not there, a body cut off."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)


def _fault(request: Request, error: Exception) -> Response:
    """Nobody expected it; the guard logs where it was."""
    return JSONResponse({"error": FAULT}, 500)


def _invalid(request: Request, error: Exception) -> Response:
    """The first fault and where it is; broken JSON is a 400."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"error": "the body is not JSON"}, 400)
    where = ".".join(str(part) for part in first["loc"][1:] if isinstance(part, str))
    return JSONResponse({"error": f"{where or 'body'}: {first['msg']}"}, 422)
