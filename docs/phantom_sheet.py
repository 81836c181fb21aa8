"""Writes docs/phantom.png: 24 phantom films with their findings."""

import io
from collections.abc import Iterator
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from PIL import Image

from medistill.data.phantom import phantom_studies
from medistill.data.phantom.findings import FINDINGS
from medistill.data.study import Study, StudyImage

ROWS, COLUMNS, SIZE = 4, 6, 256


def chosen(studies: Iterator[Study]) -> list[tuple[StudyImage, str]]:
    """Three normal films, two lateral ones, each finding at least once; a film a patient."""
    films: list[tuple[StudyImage, str]] = []
    missing, normal, lateral = set(FINDINGS), 3, 2
    shown: set[str] = set()
    for study in studies:
        if study.patient_id in shown:
            continue
        before = len(films)
        present = [name for name, label in study.labels.items() if label]
        caption = ",\n".join(present) or "normal"
        frontal = study.images[0]
        spare = len(films) + normal + lateral + len(missing) < ROWS * COLUMNS
        if not present and normal:
            films.append((frontal, caption))
            normal -= 1
        elif present and lateral and len(study.images) > 1:
            films.append((study.images[1], caption))
            lateral -= 1
        elif len(present) <= 2 and (missing & set(present) or (present and spare)):
            films.append((frontal, caption))
            missing -= set(present)
        if len(films) > before:
            shown.add(study.patient_id)
        if len(films) == ROWS * COLUMNS:
            break
    return films


def main() -> None:
    figure, axes = plt.subplots(ROWS, COLUMNS, figsize=(15, 11), facecolor="black")
    for axis, (film, caption) in zip(axes.flat, chosen(phantom_studies(2000, size=SIZE)), strict=True):
        axis.imshow(Image.open(io.BytesIO(film.image)), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{film.view}: {caption}", color="white", fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    out = Path(__file__).with_name("phantom.png")
    figure.savefig(out, dpi=100, facecolor="black")
    Image.open(out).convert("L").save(out, optimize=True)  # grey is a third of the size
    print(out)


if __name__ == "__main__":
    main()
