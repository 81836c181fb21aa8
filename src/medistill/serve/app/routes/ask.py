"""Endpoints that ask something of an image or of the index."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends
from jaxtyping import Float32

from medistill.serve.app import forms
from medistill.serve.app.door.refusal import RefusedError
from medistill.serve.app.places import heat_of, least_cosine, marked, sentence_spans
from medistill.serve.app.served import Service, service_of
from medistill.serve.index.case import Hit
from medistill.serve.index.filters import Filters, QueryError
from medistill.serve.index.query import query_vector

router = APIRouter(prefix="/v1")
Serving = Annotated[Service, Depends(service_of)]


@router.post("/zero-shot")
async def zero_shot(request: forms.ZeroShot, service: Serving) -> forms.Scores:
    """How likely an image shows findings that are named in words, and what each figure rests on."""
    served = service.served
    row = await served.lanes.image((await service.picture(request.of)).seen)
    judged = [(finding, await served.judged(finding, row)) for finding in request.findings]
    return forms.Scores(scores=[forms.Score(finding=name, **vars(score)) for name, score in judged])


@router.post("/heatmap")
async def heat_map(request: forms.HeatMap, service: Serving) -> forms.HeatAnswer:
    """Where in an image lies what speaks for a phrase."""
    picture, direction = await service.picture(request.of), await service.served.direction(request.text)
    return heat_of(await service.served.lanes.map(picture.grey, direction))


@router.post("/search")
async def search(request: forms.Search, service: Serving) -> forms.Hits:
    """The cases nearest to an image, a text, or both; of a patient the best study alone, unless asked."""
    index, served = service.index, service.served
    image = await served.lanes.image((await service.picture(request.of)).seen) if request.of else None
    text = (await served.lanes.texts([request.text]))[0] if request.text else None
    filters = filters_of(request.filters)
    try:
        query = query_vector(image, text, weight=request.weight)
    except QueryError as error:  # image and text that cancel out
        raise RefusedError(422, str(error)) from None
    hits = await service.of_index(
        lambda: index.search(query, request.k, filters=filters, per_patient=request.per_patient)
    )
    marks = [[]] * len(hits) if text is None else await _marks(service, hits, text)
    return forms.Hits(hits=[_answer(hit, spans) for hit, spans in zip(hits, marks, strict=True)])


async def _marks(
    service: Service, hits: Sequence[Hit], text: Float32[np.ndarray, " d"]
) -> list[list[tuple[int, int]]]:
    """The sentences of each report that match the text best, by their cosine in the text space."""
    spans = await service.in_thread(lambda: [sentence_spans(hit.case.text) for hit in hits])
    said = [hit.case.text[start:end] for hit, some in zip(hits, spans, strict=True) for start, end in some]
    if not said:
        return [[] for _ in hits]
    cosines = np.stack(await service.served.lanes.texts(said)) @ text
    parts = np.split(cosines, np.cumsum([len(some) for some in spans])[:-1])
    least = least_cosine(cosines)
    return [marked(some, part, least) for some, part in zip(spans, parts, strict=True)]


def _answer(hit: Hit, marks: Sequence[tuple[int, int]]) -> forms.HitAnswer:
    """What the form has of a case: neither patient nor study, nor where in the corpus it is."""
    cells = vars(hit.case) | {"case": hit.case.id, "score": hit.score, "marks": marks}
    return forms.HitAnswer.model_validate(cells)


def filters_of(form: forms.FiltersForm) -> Filters:
    """What the index filters by."""
    return Filters(**{name: tuple(values) for name, values in form})
