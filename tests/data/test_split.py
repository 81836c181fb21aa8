import numpy as np
import pytest

from medistill.data.split import check_fractions, hashed_split, split_name, validation_patients
from medistill.errors import CallError

PATIENTS = [f"patient {number}" for number in range(4000)]


def test_splits_are_of_the_sizes_asked_for():
    splits = [hashed_split(patient, val=0.1, test=0.2) for patient in PATIENTS]
    shares = [splits.count(name) / len(splits) for name in ("train", "val", "test")]
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.02)


def test_a_fraction_of_one_takes_every_patient():
    assert {hashed_split(patient, val=0.0, test=1.0) for patient in PATIENTS} == {"test"}


def test_validation_patients_are_a_tenth_even_after_a_test_split_was_cut():
    train = [patient for patient in PATIENTS if hashed_split(patient, val=0.0, test=0.2) == "train"]
    assert len(validation_patients(train)) / len(train) == pytest.approx(0.1, abs=0.02)


def test_two_patients_leave_one_to_train_and_one_to_validate():
    for patient in PATIENTS[:100]:
        assert len(validation_patients([patient, "another", patient])) == 1


def test_one_patient_is_too_few_to_validate():
    with pytest.raises(CallError, match="at least 2"):
        validation_patients(["a", "a"])


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("Valid", "val"),
        ("validation", "val"),
        ("dev", "val"),
        ("TRAINING", "train"),
        (" testing ", "test"),
        ("b", "b"),
    ],
)
def test_common_names_of_splits_are_understood(given, name):
    assert split_name(given) == name


@pytest.mark.parametrize(("val", "test"), [(-0.1, 0.1), (0.6, 0.6), (0.0, 1.5), (float("nan"), 0.1)])
def test_impossible_fractions_are_refused(val, test):
    with pytest.raises(CallError, match="fractions"):
        check_fractions(val, test)


def test_all_spellings_of_a_patient_are_on_one_side_of_the_validation():
    spelled = [str(number) for number in range(1, 400)] + [f"{number}.0" for number in range(1, 400)]
    chosen = validation_patients(spelled)
    assert chosen == {
        name for number in range(1, 400) for name in (str(number), f"{number}.0") if str(number) in chosen
    }
    assert chosen & set(spelled[:399]) == validation_patients(spelled[:399])  # nobody else has moved
