"""Ten thousand damaged files: each ends in an image, a study or a reason, soon and in little memory."""

import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from medistill.data.image import encode_image, stored_image
from medistill.data.prepare import studies
from medistill.data.sources import CsvSource
from medistill.data.sources.openi import parse_report
from medistill.data.study import Study
from medistill.errors import MedistillError
from medistill.system.isolated import GaveUp, IsolatedPool
from tests.data.sources.test_openi import report
from tests.dicoms import dicom

EACH = 1000
"""Damaged files of each kind; there are ten."""


def read_image(data):
    return "image" if stored_image(data, size=48) else "nothing"


def read_xml(data):
    return "report" if parse_report(data).uid else "report without id"


def read_csv(data):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.png").write_bytes(encode_image(np.eye(20, dtype=np.uint8)))
        (Path(folder) / "table.csv").write_bytes(data)
        items = list(studies(CsvSource(path=Path(folder) / "table.csv").open()))
    return "studies" if any(isinstance(item, Study) for item in items) else "rejects"


READERS = {"xml": read_xml, "csv": read_csv}


def peak_bytes():
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024


def read(unit):
    """What becomes of a file, the seconds it took, and this process's peak memory."""
    kind, data = unit
    start = time.process_time()
    try:
        outcome = READERS.get(kind, read_image)(data)
    except MedistillError as error:
        assert "\n" not in str(error)
        outcome = "refused"
    return outcome, time.process_time() - start, peak_bytes()


def whole_files():
    random = np.random.default_rng(0)
    film = (random.normal(0, 6, (64, 64)) + np.linspace(40, 200, 64)).astype(np.uint8)
    deep = film.astype(np.uint16) * 16
    rows = "\n".join(f"a.png,p{n},s{n},No effusion {n}.,M,{n}" for n in range(4))
    syntaxes = (ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1)
    return {
        "jpeg": encode_image(film, lossy=True),
        "png": encode_image(film),
        "xml": report(1)[0].encode(),
        "csv": f"image,patient_id,study_id,text,sex,age\n{rows}\n".encode(),
        **{syntax.name: dicom(deep, syntax=syntax) for syntax in (*syntaxes, JPEG2000Lossless)},
        JPEGBaseline8Bit.name: dicom(film, syntax=JPEGBaseline8Bit),
    }


def damaged(data, random):
    """A few bytes replaced at random, or cut short, or both."""
    harmed = bytearray(data)
    for place in random.integers(0, len(harmed), random.integers(0, 8)):
        harmed[place] = random.integers(0, 256)
    return bytes(harmed[: random.integers(1, len(harmed))] if random.random() < 0.3 else harmed)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its peak")
def test_every_damaged_file_is_prepared_or_refused():
    random = np.random.default_rng(1)
    kinds = whole_files()
    units = [(kind, damaged(data, random)) for kind, data in kinds.items() for _ in range(EACH)]
    assert len(units) == 10_000
    outcomes = {kind: Counter() for kind in kinds}
    with IsolatedPool(2) as pool:
        for (kind, _), result in pool.map(read, units):
            if isinstance(result, GaveUp):
                outcomes[kind][result.reason] += 1
                continue
            outcome, seconds, peak = result
            outcomes[kind][outcome] += 1
            assert seconds < 5
            assert peak < 1_000_000_000
    for kind, found in outcomes.items():
        assert found["refused"] > 0, kind
        assert found["image"] + found["report"] + found["studies"] > 0, kind
        assert sum(found[outcome] for outcome in found if "crashed" in outcome) <= EACH / 100, found
