import math

import pytest

from medistill.engine.collapse import PATIENCE, CollapseWatch, check_finite
from medistill.errors import MedistillError

HEALTHY = {"i2t_r@10": 0.4, "t2i_r@10": 0.4, "chance_r@10": 0.02, "mean_cosine": 0.3, "loss": 3.0, "n": 500}
ONE_POINT = {**HEALTHY, "i2t_r@10": 0.02, "t2i_r@10": 0.02, "mean_cosine": 0.999}
BLIND = {**HEALTHY, "i2t_r@10": 0.02, "t2i_r@10": 0.02, "loss": math.log(500)}


@pytest.mark.parametrize("metrics", [ONE_POINT, BLIND])
def test_chance_and_one_point_or_a_blind_loss_several_times_in_a_row_stop_the_run(metrics):
    watch = CollapseWatch()
    for _ in range(PATIENCE - 1):
        watch.look(metrics, warm=True)
    with pytest.raises(MedistillError, match="collapsed"):
        watch.look(metrics, warm=True)


def test_nothing_is_suspicious_during_warm_up():
    watch = CollapseWatch()
    for _ in range(2 * PATIENCE):
        watch.look(ONE_POINT, warm=False)


def test_a_high_cosine_with_recall_above_chance_is_not_suspicious():
    watch = CollapseWatch()
    for _ in range(2 * PATIENCE):
        watch.look({**HEALTHY, "mean_cosine": 0.999}, warm=True)


def test_too_few_pairs_to_tell_recall_from_chance_are_not_suspicious():
    watch = CollapseWatch()
    for _ in range(2 * PATIENCE):
        watch.look({**ONE_POINT, "i2t_r@10": 1.0, "t2i_r@10": 1.0, "chance_r@10": 1.0, "n": 10}, warm=True)


def test_a_spread_model_that_overfits_is_not_suspicious_on_a_few_pairs_and_is_on_many():
    """As seen on 23 real studies: the cosine is far from one, recall within two standard errors of chance."""
    spread = {
        "i2t_r@10": 0.609,
        "t2i_r@10": 0.5,
        "chance_r@10": 0.435,
        "mean_cosine": 0.233,
        "loss": 4.1,
        "n": 23,
    }
    few, many = CollapseWatch(), CollapseWatch()
    for _ in range(2 * PATIENCE):
        few.look(spread, warm=True)
    with pytest.raises(MedistillError, match="collapsed"):
        for _ in range(PATIENCE):
            many.look({**BLIND, "mean_cosine": 0.233, "loss": 9.0}, warm=True)


def test_one_good_validation_starts_the_count_again():
    watch = CollapseWatch()
    for metrics in [ONE_POINT] * (PATIENCE - 1) + [HEALTHY] + [ONE_POINT] * (PATIENCE - 1):
        watch.look(metrics, warm=True)
    assert watch.suspicious == PATIENCE - 1


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_the_likely_cause(loss):
    with pytest.raises(MedistillError, match="--lr"):
        check_finite(loss, step=3)
