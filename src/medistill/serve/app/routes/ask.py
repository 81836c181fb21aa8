"""Endpoints that ask something of an image or of the index."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends
from jaxtyping import Float32

from medistill.errors import CallError
from medistill.serve.app import forms
from medistill.serve.app.door.refusal import RefusedError
from medistill.serve.app.heat import heat_of
from medistill.serve.app.marks import least_cosine, marked, sentence_spans
from medistill.serve.app.served import Served, Service, service_of
from medistill.serve.index.case import Hit
from medistill.serve.index.filters import Filters
from medistill.serve.index.query import query_vector

router = APIRouter(prefix="/v1")
Serving = Annotated[Service, Depends(service_of)]


@router.post("/zero-shot")
async def zero_shot(asked: forms.ZeroShot, service: Serving) -> forms.Scores:
    """How likely an image shows findings that are named in words, and what each figure rests on."""
    served = service.served
    row = await served.lanes.image((await service.picture(asked.of)).seen)
    judged = [(finding, await served.judged(finding, row)) for finding in asked.findings]
    return forms.Scores(
        scores=[forms.Score(finding=finding, **dataclasses.asdict(found)) for finding, found in judged]
    )


@router.post("/heatmap")
async def heat_map(asked: forms.HeatMap, service: Serving) -> forms.HeatAnswer:
    """Where in an image lies what speaks for a phrase."""
    picture, direction = await service.picture(asked.of), await service.served.direction(asked.text)
    heat = heat_of(await service.served.lanes.map(picture.grey, direction))
    return forms.HeatAnswer(
        width=heat.width, height=heat.height, values=heat.values, peak=list(heat.peak), said=heat.said
    )


@router.post("/search")
async def search(asked: forms.Search, service: Serving) -> forms.Hits:
    """The cases nearest to an image, a text, or both; of a patient the best study alone, unless asked."""
    index, served = service.index, service.served
    image = await served.lanes.image((await service.picture(asked.of)).seen) if asked.of else None
    text = (await served.lanes.texts([asked.text]))[0] if asked.text else None
    filters = filters_of(asked.filters)
    try:
        query = query_vector(image, text, weight=asked.weight)
        found = await service.in_thread(
            lambda: index.search(query, asked.k, filters=filters, per_patient=asked.per_patient)
        )
    except CallError as error:  # a filter by what is not there; image and text that cancel out
        raise RefusedError(422, str(error)) from None
    marks = [[]] * len(found) if text is None else await _marks(served, found, text)
    return forms.Hits(hits=[_hit(hit, spans) for hit, spans in zip(found, marks, strict=True)])


async def _marks(
    served: Served, hits: Sequence[Hit], text: Float32[np.ndarray, " d"]
) -> list[list[tuple[int, int]]]:
    """The sentences of each report that match the text best, by their cosine in the text space."""
    spans = [sentence_spans(hit.case.text) for hit in hits]
    said = [hit.case.text[start:end] for hit, some in zip(hits, spans, strict=True) for start, end in some]
    if not said:
        return [[] for _ in hits]
    cosines = np.stack(await served.lanes.texts(said)) @ text
    parts = np.split(cosines, np.cumsum([len(some) for some in spans])[:-1])
    least = least_cosine(cosines)
    return [marked(some, part, least) for some, part in zip(spans, parts, strict=True)]


def _hit(hit: Hit, marks: Sequence[tuple[int, int]]) -> forms.HitAnswer:
    case = hit.case
    return forms.HitAnswer(
        case=case.id,
        score=hit.score,
        view=case.view,
        sex=case.sex,
        age=case.age,
        date=case.date,
        source=case.source,
        labels=dict(case.labels),
        text=case.text,
        marks=[list(span) for span in marks],
    )


def filters_of(form: forms.FiltersForm) -> Filters:
    """What the index filters by."""
    return Filters(
        views=tuple(form.views),
        sexes=tuple(form.sexes),
        ages=(form.ages[0], form.ages[1]),
        dates=(form.dates[0], form.dates[1]),
        sources=tuple(form.sources),
        labels=tuple(form.labels),
    )
