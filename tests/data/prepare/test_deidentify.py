"""Other ids, dates and ages; the same splits."""

import datetime
import functools
import re
import stat

import pytest

from medistill.data.corpus import open_corpus
from medistill.data.prepare import prepare
from medistill.data.prepare.deidentify import Deidentifier, read_key, scrub_function
from medistill.data.prepare.run import results
from medistill.data.sources import CsvSource
from medistill.data.split import hashed_split
from medistill.data.study import NO_REPORT
from medistill.errors import CallError, MedistillError

KEY, OTHER = b"a key of twenty byte", b"another of that size"
PATIENTS = [f"p{number}" for number in range(200)]
DAY = datetime.date(2020, 3, 1)


def changed(study, key=KEY, **options):
    return Deidentifier(key=key, **options)(study, val=0.1, test=0.2)


def test_a_new_key_gives_new_ids_and_moves_no_patient(study):
    mine, theirs = ([changed(study(patient_id=p), key) for p in PATIENTS] for key in (KEY, OTHER))
    assert not {s.patient_id for s in mine} & {s.patient_id for s in theirs}
    expected = [hashed_split(patient, val=0.1, test=0.2) for patient in PATIENTS]
    assert [s.split for s in mine] == [s.split for s in theirs] == expected


def test_a_split_of_the_source_stays(study):
    assert changed(study(split="val")).split == "val"


def test_equal_ids_stay_equal_and_no_id_shows(study):
    first, again = changed(study(1, patient_id="p")), changed(study(2, patient_id="p"))
    assert first.patient_id == again.patient_id
    assert first.study_id != again.study_id
    assert re.fullmatch("[0-9a-f]{16}", first.patient_id)


def test_a_patient_and_a_study_of_the_same_name_cannot_be_matched(study):
    both = changed(study(patient_id="7", study_id="7"))
    assert both.patient_id != both.study_id


def test_the_time_between_a_patients_dates_stays_and_the_dates_do_not(study):
    later = DAY + datetime.timedelta(days=40)
    shifts = set()
    for patient in PATIENTS:
        first, second = (changed(study(patient_id=patient, date=date)).date for date in (DAY, later))
        assert second - first == later - DAY
        shifts.add((DAY - first).days)
    assert min(shifts) >= 1
    assert max(shifts) <= 3650
    assert len(shifts) > 150


def test_a_date_too_early_to_shift_is_left_out(study):
    assert changed(study(date=datetime.date(1, 1, 1))).date is None


@pytest.mark.parametrize(
    ("age", "told"), [(None, None), (0.5, 0.5), (89.0, 89.0), (90.0, 90.0), (104.0, 90.0)]
)
def test_ages_over_89_are_one(study, age, told):
    assert changed(study(age=age)).age == told


def test_the_hook_does_not_see_a_report_that_is_none(study):
    assert changed(study(text=NO_REPORT), scrub=str.upper).text == NO_REPORT


def test_the_hook_sees_every_text(study):
    report = {"text": "Mr. A is well.", "findings": "Mr. A", "impression": "A"}
    clean = changed(study(**report), scrub=lambda text: text.replace("A", "_"))
    assert (clean.text, clean.findings, clean.impression) == ("Mr. _ is well.", "Mr. _", "_")


def test_a_hook_that_fails_is_one_line_without_the_text(study):
    def broken(text):
        raise ValueError(text)

    with pytest.raises(MedistillError, match=r"^the --scrub function failed with ValueError$"):
        changed(study(), scrub=broken)


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / "key"
    key = read_key(path, tmp_path / "corpus")
    assert len(key) == 64
    assert read_key(path, tmp_path / "corpus") == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_inside_the_corpus_is_refused(tmp_path):
    with pytest.raises(CallError, match="passed on"):
        read_key(tmp_path / "corpus" / "key", tmp_path / "corpus")


def test_a_short_key_is_refused(tmp_path):
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(CallError, match="6 bytes; at least 16"):
        read_key(tmp_path / "key", tmp_path / "corpus")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o606, 0o620, 0o644, 0o777])
def test_a_key_that_others_may_read_or_write_is_refused(tmp_path, mode):
    path = tmp_path / "key"
    key = read_key(path, tmp_path / "corpus")
    path.chmod(mode)
    with pytest.raises(CallError, match=rf"open to other users \(mode {mode:o}\): `chmod 600` it"):
        read_key(path, tmp_path / "corpus")
    path.chmod(0o400)
    assert read_key(path, tmp_path / "corpus") == key


@pytest.mark.parametrize("name", ["nowhere:f", "os.path:nothing", "os", ":f"])
def test_a_hook_that_is_not_there_is_a_call_error(name):
    with pytest.raises(CallError, match="give module:function"):
        scrub_function(name)


def test_a_corpus_holds_none_of_the_source_ids_and_the_same_splits(tmp_path, grey, encoded):
    (tmp_path / "image.png").write_bytes(encoded(grey))
    lines = [f"image.png,PATIENT{n},STUDY{n},Report {n}." for n in range(40)]
    (tmp_path / "data.csv").write_text("\n".join(["image,patient_id,study_id,text", *lines]))
    source = CsvSource(path=tmp_path / "data.csv")
    prepare(source, tmp_path / "plain", val=0.2, test=0.3)
    prepare(source, tmp_path / "corpus", val=0.2, test=0.3, deidentify=Deidentifier(key=KEY))
    plain, other = open_corpus(tmp_path / "plain"), open_corpus(tmp_path / "corpus")
    assert other.table["split"].equals(plain.table["split"])
    assert other.table["text"].equals(plain.table["text"])
    for path in (tmp_path / "corpus").iterdir():
        assert b"PATIENT" not in path.read_bytes()
        assert b"STUDY" not in path.read_bytes()


def spelled_table(folder, grey, encoded, patients):
    (folder / "image.png").write_bytes(encoded(grey))
    lines = [f"image.png,{patient},Report {n}." for n, patient in enumerate(patients)]
    (folder / "data.csv").write_text("\n".join(["image,patient_id,text", *lines]))
    return CsvSource(path=folder / "data.csv")


def test_spellings_of_a_patient_are_one_person_under_the_new_ids(tmp_path, grey, encoded, study):
    source = spelled_table(tmp_path, grey, encoded, ["10", "10.0", "010", "p-7", "P7", "11"])
    prepare(source, tmp_path / "corpus", deidentify=Deidentifier(key=KEY))
    rows = open_corpus(tmp_path / "corpus").table.to_pylist()
    ten, seven, eleven = (changed(study(patient_id=name)).patient_id for name in ("10", "p-7", "11"))
    assert [row["patient_id"] for row in rows] == [ten, ten, ten, seven, seven, eleven]
    assert len({row["split"] for row in rows[:3]}) == 1


def test_a_run_that_is_gone_on_with_knows_the_first_spellings(tmp_path, grey, encoded):
    patients = [f"q{number}" for number in range(30)] + [f"Q-{number}" for number in range(30)]
    source = spelled_table(tmp_path, grey, encoded, patients)
    change = functools.partial(Deidentifier(key=KEY), val=0.1, test=0.1)
    whole = list(results(source.open(), change=change))
    place, _ = whole[39]
    rest = list(results(source.open(), place, change=change))
    assert rest == whole[40:]
    assert len({items[0].patient_id for _, items in whole}) == 30
