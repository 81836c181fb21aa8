"""MedPix 2.0 as a source: CT and MR images of teaching cases, with captions.

The layout was read from CHILab1/MedPix-2.0: its READMEs, splitted_dataset/descriptions_train.jsonl and
descriptions_dev.jsonl, which are there too, and its scripts, which read images/NAME.png.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from medistill.data.sources.parts.cells import age_in_years, has_words, sex_name
from medistill.data.sources.parts.draft import Draft, ImageFile, Reading
from medistill.data.sources.parts.published import PublishedSet, check_apart, published_text
from medistill.data.study import Reject, Study
from medistill.errors import CallError

_SPLITS = ("train", "dev", "test")
_PLACEHOLDERS = ("replace this", "in progress")  # how captions begin that nobody wrote


@dataclass(frozen=True, kw_only=True)
class MedpixSource(PublishedSet):
    """MedPix 2.0: CT and MR images of teaching cases, each with a caption of its own as the text and the
    region of the body, one of five, as its label. The folder holds splitted_dataset/ and images/. A case is a
    patient; the split is the published one, by case.
    """

    name: ClassVar[str] = "medpix"

    path: Path
    """The folder MedPix-2-0, which holds splitted_dataset/ and images/."""

    def open(self) -> Reading:
        images = [image for split in _SPLITS for image in _images(self.path / "splitted_dataset", split)]
        check_apart(((image.case, image.split) for image in images), "the three lists of descriptions")
        regions = tuple(sorted({image.region for image in images if image.region}))
        return self.reading(self._units(images, regions), len(images), regions)

    def _units(self, images: list["_Image"], regions: tuple[str, ...]) -> Iterator[Draft | Reject]:
        seen = set[str]()
        for number, image in enumerate(images, start=1):
            if fault := "listed before" if image.name in seen else _fault(image.caption):
                yield Reject(row=number, reason=fault, path=image.name)
            else:
                yield self._draft(number, image, regions)
            seen.add(image.name)

    def _draft(self, number: int, image: "_Image", regions: tuple[str, ...]) -> Draft:
        study = Study(
            study_id=image.case,
            patient_id=image.case,
            text=image.caption,
            labels={region: int(region == image.region) for region in regions} if image.region else {},
            split=image.split,
            sex=sex_name(image.sex),
            age=age_in_years(image.age),
            source=self.name,
        )
        name = f"images/{image.name}.png"
        return Draft(study=study, files=(ImageFile(row=number, path=self.path / name, name=name),))


class _Image(NamedTuple):
    split: str
    case: str
    name: str
    caption: str
    region: str
    sex: str
    age: str


def _images(folder: Path, split: str) -> Iterator[_Image]:
    name = f"descriptions_{split}.jsonl"
    # Not splitlines: JSON leaves U+2028 and the like within a caption as they are.
    for number, line in enumerate(published_text(folder, name).split("\n"), start=1):
        if line.strip():
            yield _image(line, split, f"{name}, line {number}")


def _image(line: str, split: str, where: str) -> _Image:
    try:
        entry: Any = json.loads(line)
        case, name, about, region = (
            entry[key] for key in ("U_id", "image", "Description", "Location Category")
        )
        values = (case, name, about["Caption"], region, about.get("Sex"), about.get("Age"))
    except KeyError as error:
        raise CallError(f"{where}: no `{error.args[0]}`; take it as it was published") from None
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise CallError(f"{where}: not a JSON object of an image; take it as it was published") from None
    case, name, caption, region, sex, age = ("" if value is None else str(value).strip() for value in values)
    return _Image(split, case, name, caption, region.lower(), sex, age)


def _fault(caption: str) -> str | None:
    if not has_words(caption):
        return "empty text"
    return "a placeholder for a caption" if caption.lower().startswith(_PLACEHOLDERS) else None
