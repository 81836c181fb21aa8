"""The page and its files, what is served, and whether it is ready."""

import mimetypes
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse, Response

from medistill.html import templates
from medistill.serve.app import forms
from medistill.serve.app.door.refusal import RefusedError
from medistill.serve.app.served import Service, service_of

router = APIRouter()
Serving = Annotated[Service, Depends(service_of)]
NOTICE = "Not a medical device: for research and education, not for diagnosis."
_ASSETS = Path(__file__).parents[1] / "assets"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml", ".css": "text/css"}  # a system may name others
_SUGGESTIONS = 6


@router.get("/", include_in_schema=False)
async def page() -> Response:
    return _asset("index.html")


@router.get("/assets/{name:path}", include_in_schema=False)
async def asset(name: str) -> Response:
    return _asset(name)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    schema: dict[str, Any] = request.app.openapi()
    return HTMLResponse(templates.page("medistill.serve.app", "docs.html", **schema))


@router.get("/healthz")
async def healthz() -> forms.Status:
    """Whether the server runs."""
    return forms.Status(status="ok")


@router.get("/readyz")
async def readyz(service: Serving) -> forms.Status:
    """Whether requests can be answered: 503 until the model is loaded, and while a part is lost."""
    await service.check()
    return forms.Status(status="ok")


@router.get("/v1/about")
async def about(service: Serving) -> forms.About:
    """What is served, with which limits. Needs no token."""
    served, limits = service.served, service.limits
    return forms.About(
        notice=NOTICE,
        token_required=service.token_required,
        model=forms.ModelAbout(sha256=served.sha256, dim=served.dim),
        index=served.there,
        phantoms=service.phantoms,
        suggestions=list(served.suggestions[:_SUGGESTIONS]),
        examples=list(served.examples),
        limits=forms.LimitsAbout(bytes=limits.upload_bytes, pixels=limits.pixels, findings=limits.findings),
    )


@cache
def assets() -> dict[str, bytes]:
    """Name -> bytes of the page's files, read once: no path from a request is ever opened."""
    paths = [path for path in _ASSETS.rglob("*") if path.is_file()]
    return {path.relative_to(_ASSETS).as_posix(): path.read_bytes() for path in paths}


def _asset(name: str) -> Response:
    if name not in assets():
        raise RefusedError(404, "there is no such page")
    kind = _TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(assets()[name], media_type=kind, headers={"Cache-Control": "no-cache"})
