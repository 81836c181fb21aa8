"""Figures over resamples, some at a time."""

import numpy as np
import pytest

from medistill.evaluate.statistics.interval import (
    figure,
    log_odds,
    mean_over,
    patient_weights,
    undefined,
)
from medistill.evaluate.statistics.resample import resampled

PATIENTS = [f"{i // 3:03d}" for i in range(60)]
VALUES = (np.random.default_rng(0).random(60) < 0.4).astype(float)
"""Whole numbers, whose sums no order of adding changes."""


def task(weights):
    return {
        "mean": figure(mean_over(VALUES, weights), PATIENTS),
        "share": figure(mean_over(VALUES, weights), PATIENTS, interval=log_odds),
        "none": undefined("no case", PATIENTS),
    }


@pytest.mark.parametrize("at_once", [1, 7, 100, 1000])
def test_how_many_resamples_are_worked_on_at_once_does_not_change_a_figure(at_once):
    found = resampled(task, PATIENTS, resamples=100, seed=3, at_once=at_once)
    expected = task(patient_weights(PATIENTS, 100, seed=3))
    assert found == expected
    np.testing.assert_array_equal(found["mean"].spread, expected["mean"].spread)


def test_a_figure_keeps_its_own_interval_over_all_chunks():
    found = resampled(task, PATIENTS, resamples=100, seed=3, at_once=9)
    assert found["share"]["interval"] == "log_odds"
    assert (found["share"]["low"], found["share"]["high"]) == log_odds(
        found["share"]["value"], found["share"].spread
    )
    assert "interval" not in found["mean"]


def test_figures_know_who_was_drawn_and_how():
    one = resampled(task, PATIENTS, resamples=10, seed=0)["mean"].resampling
    assert one == resampled(task, PATIENTS[::-1], resamples=10, seed=0)["mean"].resampling
    for patients, resamples, seed in ((PATIENTS, 10, 1), (PATIENTS, 11, 0), (["x"] * 60, 10, 0)):
        assert one != resampled(task, patients, resamples=resamples, seed=seed)["mean"].resampling


def test_without_resamples_there_is_a_value_and_no_interval():
    found = resampled(task, PATIENTS, resamples=0, seed=0)
    assert found["mean"]["value"] == pytest.approx(VALUES.mean())
    assert found["mean"]["low"] is None
    assert found["share"]["high"] is None


def test_weights_are_made_a_few_resamples_at_a_time():
    shapes = []
    resampled(lambda w: shapes.append(w.shape) or task(w), PATIENTS, resamples=25, seed=0, at_once=10)
    assert shapes == [(60, 11), (60, 11), (60, 6)]
