import datetime
import io

import numpy as np
import pytest

from medistill.data.dicom.header import read_header
from tests.dicoms import NATIVE, dicom, item


@pytest.fixture(scope="module")
def film():
    return np.zeros((8, 6), np.uint8)


def test_a_header_holds_what_a_source_needs(film):
    header = read_header(
        dicom(
            film,
            IssuerOfPatientID="H",
            PatientSex="F",
            PatientAge="045Y",
            StudyDate="20200131",
            PresentationIntentType="FOR PROCESSING",
            BurnedInAnnotation="YES",
            IrradiationEventUID="1.9",
            SourceImageSequence=[item(ReferencedSOPInstanceUID="1.8")],
        )
    )
    assert (header.study_uid, header.sop_uid, header.accession) == ("1.2.3", "1.2.3.4", "A1")
    assert (header.patient_id, header.issuer, header.sex, header.age) == ("P1", "H", "F", 45.0)
    assert (header.date, header.modality) == (datetime.date(2020, 1, 31), "DX")
    assert (header.for_processing, header.burned_in, header.no_image) == (True, True, None)
    assert (header.exposure, header.made_from) == ("1.9", ("1.8",))
    assert (header.frames, header.rows, header.columns, header.warnings) == (1, 8, 6, 0)


@pytest.mark.parametrize("syntax", NATIVE, ids=lambda uid: uid.name)
def test_a_header_is_read_without_its_pixels(syntax):
    data = dicom(np.random.default_rng(0).integers(0, 9999, (700, 700)).astype(np.uint16), syntax=syntax)
    file = io.BytesIO(data)
    assert read_header(file) == read_header(data)
    if "Deflated" not in syntax.name:
        assert read_header(data[:2000]) == read_header(data)
        assert file.tell() < 2000


AGES = {"045Y": 45, "006M": 0.5, "014D": 14 / 365.25, "26W": 182 / 365.25, "62": 62, "22Y": 22}


@pytest.mark.parametrize(("text", "years"), [*AGES.items(), ("", None), ("OLD", None), ("999Y", None)])
def test_ages_are_in_years(film, text, years):
    assert read_header(dicom(film, PatientAge=text)).age == (None if years is None else pytest.approx(years))


def code(value, meaning=""):
    return {"ViewCodeSequence": [item(CodeValue=value, CodeMeaning=meaning)]}


@pytest.mark.parametrize(
    ("changes", "view"),
    [
        ({"ViewPosition": "PA"}, "PA"),
        ({"ViewPosition": "AP"}, "AP"),
        ({"ViewPosition": "LL"}, "lateral"),
        ({"ViewPosition": "RL"}, "lateral"),
        ({"ViewPosition": "LATERAL"}, "lateral"),
        ({"ViewPosition": "LLD"}, None),
        ({}, None),
        (code("R-10206"), "AP"),
        (code("272479007"), "PA"),
        (code("R-10236"), "lateral"),
        (code("local", "postero-anterior"), "PA"),
        ({"ViewPosition": "", **code("399198007")}, "lateral"),
        ({"ViewPosition": "PA", **code("R-10206")}, "PA"),
        (code("R-10226", "medio-lateral oblique"), None),
    ],
)
def test_the_view_is_by_position_else_by_code(film, changes, view):
    assert read_header(dicom(film, **changes)).view == view


def test_a_value_that_cannot_be_understood_is_a_missing_one(film):
    header = read_header(dicom(film, PatientSex="O", StudyDate="20209999", BurnedInAnnotation="?"))
    assert (header.sex, header.date, header.burned_in) == (None, None, None)
