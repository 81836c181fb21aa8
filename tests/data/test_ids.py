"""The spellings of an id that are one id, and those that are not."""

import pytest

from medistill.data.ids import KnownIds, by_group, canonical, differences, near_misses

SAME = [
    ("10", "10.0", "decimals"),
    ("10", "10.00", "decimals"),
    ("10", "10,0", "decimals"),
    ("1234567", "1.234567E+06", "decimals"),
    ("10", "0010", "leading zeros"),
    ("a17", "A17", "case"),
    ("10", " 10\t", "white space"),
    ("10", "10\u00a0", "Unicode"),
    ("17", "\uff11\uff17", "Unicode"),
    ("10", "\ufeff10", "Unicode"),
    ("10", '"10"', "quotes"),
    ("10", "'10", "quotes"),
    ("10", '="10"', "quotes"),
    ("10", "\u201c10\u201d", "quotes"),
    ("P-12", "P_12", "separators"),
    ("P 12", "P12", "separators"),
    ("123-45-67", "1234567", "separators"),
    ("123-05-67", "1230567", "separators"),
    ("10", "#10", "separators"),
    ("HOSP\\10", "10", "issuer"),
    ("10", "10^^^HOSP&1.2.3&ISO^MR", "issuer"),
]
OTHERS = [
    ("10", "100"),
    ("10", "1.0"),
    ("1.05", "1.5"),
    ("1-23", "12-3"),
    ("1-23", "123"),
    ("A\\7", "B\\7"),
    ("1.2.840.10", "1.2.840.1"),
    ("1.000", "1"),
    ("patient1/study11", "patient11/study1"),
    ("00000001_010", "00000010_001"),
    ("p1", "q1"),
    ("-", "."),
]


@pytest.mark.parametrize(("one", "other", "kind"), SAME)
def test_spellings_of_an_id_are_one_and_their_difference_has_a_name(one, other, kind):
    for first, second in ((one, other), (other, one)):
        known = KnownIds()
        assert (known.first(first), known.first(second)) == (first, first)
        assert (known.unified, known.card()["unified"]) == (1, 1)
        assert kind in known.kinds
        assert kind in differences(first, second)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_ids_that_are_two_stay_two(one, other):
    known = KnownIds()
    assert (known.first(one), known.first(other), known.card()) == (one, other, {})


def test_a_spelling_met_again_is_not_counted_again():
    known = KnownIds()
    for spelling in ("10", "10.0", "10.0", "10", "010"):
        assert known.first(spelling) == "10"
    assert known.card() == {"unified": 2, "by": {"decimals": 1, "leading zeros": 1}}


def test_an_id_without_its_issuer_is_that_of_the_only_one_there_is():
    assert by_group(["7", "H1\\7"]).unified == 1
    known = by_group(["7", "H1\\7", "H2\\7"])
    assert {known.first(name) for name in ("7", "H1\\7", "H2\\7")} == {"7", "H1\\7", "H2\\7"}


def test_digits_that_two_ids_have_in_common_are_neither_of_them():
    known = by_group(["1234567", "12-34567", "123-4567"])
    assert known.unified == 0


def test_the_form_of_a_long_id_is_its_own():
    assert (
        len({canonical(f"{a:08x}-{b:04x}").body for a in range(0, 4096, 7) for b in (1, 16, 256)}) == 586 * 3
    )


def test_near_misses_are_unique_on_both_sides():
    assert near_misses(["500.0", "x1", "8"], ["500", "X1", "9"]) == {"500.0": "500", "x1": "X1"}
    assert near_misses(["500.0", "0500"], ["500"]) == {}
    assert near_misses(["500.0"], ["500", "0500"]) == {}
    assert near_misses(["500.0", "500"], ["500"]) == {}
    assert near_misses(["500"], ["500", "0500"]) == {}
