import numpy as np
import pytest
from scipy.stats import binomtest

from medistill.serve.app.judging import nearest_told, plain_name, uncalibrated, wilson


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (3, 10), (40, 40), (17, 33)])
def test_the_interval_is_wilsons(hits, count):
    expected = binomtest(hits, count).proportion_ci(method="wilson")
    assert wilson(hits, count) == pytest.approx((expected.low, expected.high))


def studies(positive: int, negative: int):
    """Scores that tell the two apart."""
    scores = np.concatenate([np.linspace(1, 2, positive), np.linspace(-2, -1, negative)])
    return scores, np.concatenate([np.ones(positive), np.zeros(negative)])


def test_what_all_near_studies_show_is_likely_and_what_none_does_unlikely():
    scores, labels = studies(100, 100)
    high, low = nearest_told(0.97, 1.5, scores, labels), nearest_told(0.02, -1.5, scores, labels)
    assert (high.said, low.said) == ("likely", "unlikely")
    assert (high.low, high.high) == pytest.approx((wilson(40, 40)[0], 1.0))
    assert "Of the 40 labeled" in high.basis and "40 showed it" in high.basis
    assert "0 showed it" in low.basis


def test_between_the_two_nobody_can_tell():
    scores, labels = studies(100, 100)
    assert nearest_told(0.5, 0.0, scores, labels).said == "cannot tell"


def test_a_rare_finding_is_judged_by_as_many_studies_as_show_it():
    scores, labels = studies(12, 600)
    found = nearest_told(0.9, 2.0, scores, labels)
    assert "Of the 12 labeled" in found.basis and "12 showed it" in found.basis
    assert found.said == "likely"


def test_few_studies_leave_it_open():
    scores, labels = studies(4, 600)
    assert nearest_told(0.99, 2.0, scores, labels).said == "cannot tell"


def test_a_probability_that_the_near_studies_contradict_widens_the_interval():
    scores, labels = studies(100, 100)
    found = nearest_told(0.3, 1.5, scores, labels)
    assert (found.low, found.high) == (0.3, pytest.approx(1.0))
    assert found.said == "cannot tell"


def test_without_calibration_nothing_is_said():
    found = uncalibrated(0.99, "no labels")
    assert (found.said, found.low, found.high, found.calibrated) == ("cannot tell", None, None, False)
    assert found.basis == "no labels."


def test_names_are_compared_without_case_and_blanks():
    assert plain_name(" Left_Effusion ") == plain_name("left  effusion")
