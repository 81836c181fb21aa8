"""What is asked and answered, in types: the schema of the interface."""

import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from medistill.serve.app.door.limits import LIMITS


def _encodable(text: str) -> str:
    """JSON can spell half of a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half a character") from None
    return text


Text = Annotated[
    str, Field(min_length=1, max_length=LIMITS.characters, pattern=r"\S"), AfterValidator(_encodable)
]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S"), AfterValidator(_encodable)]
Id = Annotated[str, Field(min_length=16, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", examples=["2020-01-31"])]
Share = Annotated[float, Field(ge=0, le=1)]
Years = Annotated[float, Field(ge=0, le=200)]
Names = Annotated[list[Name], Field(max_length=64)]
Sha256 = Annotated[str, Field(description="SHA-256 of the model whose space the embeddings are in")]


class Form(BaseModel):
    """Of a request: nothing is converted, and nothing unknown is passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Error(BaseModel):
    """Any answer that is none."""

    error: str = Field(description="One line for a person")


class Status(BaseModel):
    status: Literal["ok"]


class ModelAbout(BaseModel):
    sha256: str | None
    dim: int


class IndexAbout(BaseModel):
    images: int
    findings: list[str]
    views: list[str]
    sexes: list[str]
    sources: list[str]


class LimitsAbout(BaseModel):
    bytes: int
    pixels: int
    findings: int


class About(BaseModel):
    notice: str
    token_required: bool
    model: ModelAbout
    index: IndexAbout | None
    phantoms: bool
    suggestions: list[str]
    examples: list[str]
    limits: LimitsAbout


class Window(BaseModel):
    center: float
    width: float


class UploadedImage(BaseModel):
    image: str
    width: int
    height: int
    dicom: bool
    bits: int
    window: Window | None


class Texts(Form):
    texts: Annotated[list[Text], Field(min_length=1, max_length=LIMITS.texts)]


class Embedding(BaseModel):
    embedding: list[float]
    model_sha256: Sha256 | None


class Embeddings(BaseModel):
    embeddings: list[list[float]]
    model_sha256: Sha256 | None


class OfUpload(Form):
    """An image that was sent to /v1/images."""

    image: Id


class OfCase(Form):
    """An image of the index."""

    case: Id


Of = OfUpload | OfCase


class ZeroShot(Form):
    of: Of
    findings: Annotated[list[Name], Field(min_length=1, max_length=LIMITS.findings)]


class Score(BaseModel):
    finding: str
    probability: Share
    calibrated: bool
    low: Share | None
    high: Share | None
    said: Literal["likely", "unlikely", "cannot tell"]
    basis: str


class Scores(BaseModel):
    scores: list[Score]


Pair = Field(min_length=2, max_length=2)


class FiltersForm(Form):
    """All that are given must hold; a bound of null is open."""

    views: Names = []
    sexes: Names = []
    ages: Annotated[list[Years | None], Pair] = [None, None]
    dates: Annotated[list[Day | None], Pair] = [None, None]
    sources: Names = []
    labels: Names = []

    @model_validator(mode="after")
    def _days_exist(self) -> "FiltersForm":
        for day in filter(None, self.dates):
            datetime.date.fromisoformat(day)
        return self


class Search(Form):
    of: Of | None = None
    text: Text | None = None
    weight: Share = Field(0.5, description="Of the image beside the text, where both are given")
    k: Annotated[int, Field(ge=1, le=LIMITS.hits)] = 10
    filters: FiltersForm = FiltersForm()
    per_patient: bool = True

    @model_validator(mode="after")
    def _asks_for_something(self) -> "Search":
        if self.of is None and self.text is None:
            raise ValueError("give `of`, `text` or both")
        return self


class HitAnswer(BaseModel):
    case: str
    score: float
    view: str | None
    sex: str | None
    age: float | None
    date: str | None
    source: str
    labels: dict[str, int]
    text: str
    marks: list[Annotated[list[int], Pair]]


class Hits(BaseModel):
    hits: list[HitAnswer]


class HeatMap(Form):
    of: Of
    text: Text


class HeatAnswer(BaseModel):
    width: int
    height: int
    values: str = Field(description="Base64 of uint8, row by row")
    peak: Annotated[list[Share], Pair]
    said: str


ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": Error, "description": text}
    for code, text in {
        400: "The request cannot be read",
        401: "No token, or not the right one",
        403: "Sent by a page of another site",
        404: "There is no such image, case or path",
        405: "Another method is expected",
        408: "The body took too long to arrive",
        413: "The body is too large",
        415: "A body of another type is expected",
        421: "The host is not one of this server",
        422: "The request does not have the form expected, or the file cannot be read",
        429: "Too many requests of one client: wait as long as Retry-After says",
        503: "Busy, or still loading: wait as long as Retry-After says",
    }.items()
}
"""What any endpoint may answer instead."""
