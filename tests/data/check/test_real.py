"""What `medistill check` says of real data; the counts are explained in docs/check.md."""

import csv

import numpy as np
import pytest

from medistill.data.check.run import check_corpus
from medistill.data.corpus import open_corpus
from medistill.data.image import encode_image
from medistill.data.prepare import prepare
from medistill.data.prepare.writer import write_corpus
from medistill.data.sources import CsvSource
from medistill.data.study import Study, StudyImage
from tests.conftest import each_a_unit
from tests.data.sources.test_real import real

pytestmark = [pytest.mark.real, pytest.mark.slow]


def checked(source, out, **options):
    prepare(source, out, allow_rejects=True, **options)
    return {flag.check: flag for flag in check_corpus(open_corpus(out)).flags}


def medpix_with_its_split(folder):
    """Both tables of MedPix 2.0 as one, each a split."""
    rows = []
    for name, split in (("train", "train"), ("dev", "test")):
        table = real(f"medpix/{name}.csv")
        with table.open(newline="") as file:
            rows += [
                row | {"split": split, "image": str(table.parent / row["image"])}
                for row in csv.DictReader(file)
            ]
    with (folder / "medpix.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "medpix.csv"


def test_the_published_split_of_medpix_has_one_image_on_both_sides(tmp_path):
    text = ("modality", "plane", "location", "caption")
    flags = checked(CsvSource(path=medpix_with_its_split(tmp_path), text=text), tmp_path / "corpus")
    assert {name for name, flag in flags.items() if flag.severity == "error"} == {"near_identical_images"}
    assert flags["near_identical_images"].count == 1
    assert flags["inverted_images"].count < 30  # CT and MR: the rule is for radiographs


def test_the_covid_radiographs_leak_nothing_and_none_looks_inverted(tmp_path):
    source = CsvSource(path=real("covid_cxr/metadata.csv"), classes=("finding",))
    flags = checked(source, tmp_path / "corpus")
    assert [flag.said for flag in flags.values() if flag.severity == "error"] == []
    assert flags["alike_images"].count == 1  # one radiograph with a word written on it, under three ids
    assert not {"inverted_images", "blank_images", "tiny_images"} & set(flags)


def test_no_radiograph_of_the_childrens_set_looks_inverted_and_none_is_in_two_splits(tmp_path):
    flags = checked(CsvSource(path=real("kermany/labels.csv"), text=("label",)), tmp_path / "corpus")
    assert not {"inverted_images", "near_identical_images", "identical_images"} & set(flags)


def test_the_radiograph_that_was_retagged_looks_inverted_and_is_seen_to_be_the_other_ones_negative(tmp_path):
    pydicom = pytest.importorskip("pydicom")
    studies = []
    for name, split in (("rsna_chest_pa", "train"), ("rsna_chest_pa_monochrome1", "test")):
        dicom = pydicom.dcmread(real(f"dicom/{name}.dcm"))
        grey = dicom.pixel_array.astype(np.float64)
        grey = (255 * (grey - grey.min()) / np.ptp(grey)).astype(np.uint8)
        shown = 255 - grey if dicom.PhotometricInterpretation == "MONOCHROME1" else grey
        images = (StudyImage(image=encode_image(shown)),)
        studies.append(Study(study_id=name, patient_id=name, images=images, text="Chest.", split=split))
    write_corpus(each_a_unit(studies), tmp_path / "corpus", source="test", made_with={})
    flags = {flag.check: flag for flag in check_corpus(open_corpus(tmp_path / "corpus")).flags}
    assert flags["inverted_images"].cases == ((1,),)
    assert flags["inverted_images"].figures["sure"] == 1
    assert flags["near_identical_images"].cases == ((0, 1),)
