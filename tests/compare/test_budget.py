"""Epochs under a budget."""

import pytest

from medistill.compare.comparison import BUDGETS, TITLES


def test_equal_samples_gives_everyone_the_recipes_epochs():
    assert BUDGETS["samples"](30, 8.0, 4.0) == 30


@pytest.mark.parametrize(("cost", "epochs"), [(4.0, 30), (8.0, 15), (5.3, 23), (2.0, 60), (900.0, 1)])
def test_equal_time_gives_whole_epochs_by_the_cost_of_a_pair_and_at_least_one(cost, epochs):
    assert BUDGETS["time"](30, cost, 4.0) == epochs


def test_without_a_measured_cost_equal_time_is_not_known():
    assert BUDGETS["time"](30, None, 4.0) is None
    assert BUDGETS["time"](30, 4.0, None) is None


def test_every_budget_has_a_title():
    assert set(TITLES) == set(BUDGETS)
