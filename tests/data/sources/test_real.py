"""Real public data, where it is at hand: MEDISTILL_REAL_DATA, or shared/data beside the repository."""

import os
from pathlib import Path

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.prepare import prepare
from medistill.data.sources import CsvSource
from medistill.errors import MedistillError

REAL = Path(os.environ.get("MEDISTILL_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
pytestmark = [pytest.mark.real, pytest.mark.slow]


def real(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip("no real data here: set MEDISTILL_REAL_DATA to the folder that holds it")
    return REAL / name


def test_medpix_is_prepared_without_a_reject(tmp_path):
    source = CsvSource(
        path=real("medpix/train.csv"), text=("modality", "plane", "location", "caption"), classes=("region",)
    )
    card = prepare(source, tmp_path / "corpus", test=0.0)
    assert (card["images"], card["patients"], card["rejected"]["count"]) == (1653, 535, 0)
    assert len(card["findings"]) == 5
    rows = open_corpus(tmp_path / "corpus").split("val")
    assert min(min(rows.image(i).shape) for i in range(len(rows))) > 100


def test_the_covid_notes_are_refused_until_their_empty_texts_are_allowed(tmp_path):
    source = CsvSource(path=real("covid_cxr/metadata.csv"), classes=("finding",))
    with pytest.raises(MedistillError, match="empty text"):
        prepare(source, tmp_path / "corpus")
    card = prepare(source, tmp_path / "corpus", allow_rejects=True)
    assert card["images"] + card["rejected"]["count"] == 417
