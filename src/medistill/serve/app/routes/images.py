"""Endpoints that take or give images and embeddings."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from medistill.data.image import encode_image
from medistill.serve.app import forms
from medistill.serve.app.batcher import FullError
from medistill.serve.app.door.guard import FILES
from medistill.serve.app.door.refusal import RefusedError, busy
from medistill.serve.app.served import Service, service_of
from medistill.serve.app.uploads import Parsed

router = APIRouter(prefix="/v1")
Serving = Annotated[Service, Depends(service_of)]
ImageId = Annotated[str, Path(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
_FILE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The bytes of a PNG, JPEG or DICOM file",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in FILES},
    }
}


async def _received(request: Request, service: Service) -> Parsed:
    """The image in the body; a place among the files that are parsed is taken once all of it is there."""
    service.served  # noqa: B018  refuses while the model is loaded
    try:
        if service.uploads.is_full:
            raise FullError  # before anything is received in vain
        with service.arriving.taking() as take:
            data = bytearray()
            async for chunk in request.stream():
                take(len(chunk))
                data += chunk
            if not data:
                raise RefusedError(422, "the body is empty: expected the bytes of a file")
            with service.uploads:
                return await service.parsed(bytes(data))
    except FullError:
        raise busy("other files are being read") from None


@router.post("/images", openapi_extra=_FILE)
async def upload_image(request: Request, service: Serving) -> forms.UploadedImage:
    """Keep an image in memory for minutes; its id stands for it in other requests."""
    image = await _received(request, service)
    window = forms.Window(center=image.window[0], width=image.window[1]) if image.window else None
    fields = vars(image) | {"image": service.kept.add(image), "window": window}
    return forms.UploadedImage.model_validate(fields)


_PIXELS: dict[str, Any] = {
    "description": "Little-endian uint16, row by row",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        name: {"description": what, "schema": {"type": "string"}}
        for name, what in (("X-Width", "Pixels of a row"), ("X-Height", "Rows"))
    },
}


@router.get("/images/{image}/pixels", response_class=Response, responses={200: _PIXELS})
async def image_pixels(image: ImageId, service: Serving) -> Response:
    """The grey levels an uploaded image stores, for a viewer's window; of DICOM after its modality LUT."""
    levels = service.kept_image(image).levels
    height, width = levels.shape
    pixels = levels.astype("<u2").tobytes()
    headers = {"X-Width": str(width), "X-Height": str(height)}
    return Response(pixels, media_type="application/octet-stream", headers=headers)


@router.get(
    "/cases/{case}/image",
    response_class=Response,
    responses={200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def case_image(case: ImageId, service: Serving) -> Response:
    """The image of a case of the index, 8-bit grey."""
    grey = await service.case_picture(await service.case(case))
    return Response(await service.in_thread(lambda: encode_image(grey)), media_type="image/png")


@router.post("/embed/image", openapi_extra=_FILE)
async def embed_image(request: Request, service: Serving) -> forms.Embedding:
    """The unit vector of an image; the image is not kept."""
    image = await _received(request, service)
    row = await service.served.lanes.image(image.seen)
    return forms.Embedding(embedding=row.tolist(), model_sha256=service.served.sha256)


@router.post("/embed/text")
async def embed_text(request: forms.Texts, service: Serving) -> forms.Embeddings:
    """The unit vectors of texts, in their order."""
    rows = await service.served.lanes.texts(request.texts)
    return forms.Embeddings(embeddings=[row.tolist() for row in rows], model_sha256=service.served.sha256)
