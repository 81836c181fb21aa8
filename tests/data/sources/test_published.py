"""What the sources of published sets share."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from medistill.data.sources.nih14 import age_in_years
from medistill.data.sources.parts.marked import decode_runs
from medistill.data.sources.parts.published import split_70_15_15
from medistill.errors import MedistillError


@pytest.mark.parametrize(("count", "seed"), [(20, 0), (333, 0), (1001, 7)])
def test_the_split_is_the_one_that_scikit_learn_makes(count, seed):
    names = [f"{number:06d}" for number in range(count)]
    train, rest = train_test_split(names, test_size=0.3, random_state=seed)
    test, val = train_test_split(rest, test_size=0.5, random_state=seed)
    expected = dict.fromkeys(train, "train") | dict.fromkeys(test, "test") | dict.fromkeys(val, "val")
    assert split_70_15_15(reversed(names), seed=seed) == expected


def test_the_split_of_as_many_patients_as_rsna_has_is_of_the_published_sizes():
    splits = list(split_70_15_15(map(str, range(26684)), seed=0).values())
    assert [splits.count(name) for name in ("train", "val", "test")] == [18678, 4003, 4003]


def test_ages_are_read_with_and_without_their_unit():
    cells = ("58", "058Y", " 018 m ", "0", "121", "414", "", "old", "-3", "5 8Y")
    assert [age_in_years(cell) for cell in cells] == [58.0, 58.0, 1.5, 0.0, *[None] * 6]
    assert age_in_years("014D") == pytest.approx(14 / 365.25)


def test_runs_go_down_the_columns_each_from_the_end_of_the_one_before():
    expected = np.zeros((4, 4), np.uint8)
    expected[1:3, 0] = 255
    expected[:2, 2] = 255
    np.testing.assert_array_equal(decode_runs("1 2 5 2", 4), expected)
    assert not decode_runs("", 4).any()


@pytest.mark.parametrize("runs", ["1", "1 2 3", "one two", "-1 2", "1 16", "15 1 1 1", f"1 {10**30}"])
def test_runs_that_are_none_or_leave_the_frame_are_refused(runs):
    with pytest.raises(MedistillError, match="the mask"):
        decode_runs(runs, 4)
