"""The 5x200 subsets, against the rules as pandas applies them."""

import numpy as np
import pandas as pd
import pytest

from medistill.data.sources.chexpert import LABELS
from medistill.data.sources.parts.subset import TASKS, Subset, chexpert_5x200, mimic_5x200
from medistill.errors import CallError


@pytest.fixture(scope="module")
def table():
    """10,000 images whose labels are mostly not stated, and now and then uncertain."""
    states = np.random.default_rng(0).choice(
        [1.0, 0.0, -1.0, np.nan], (10000, 14), p=[0.08, 0.15, 0.01, 0.76]
    )
    names = [label.lower() for label in LABELS]
    return pd.DataFrame(states, columns=names, index=[f"{number}.jpg" for number in range(10000)])


@pytest.mark.parametrize("seed", [0, 42])
def test_the_subset_is_the_one_that_pandas_draws(table, seed):
    filled = table.fillna(0)
    expected = {}
    for task in TASKS:
        others = [name for name in table.columns if name not in (task, "no finding")]
        alone = filled[(filled[task] == 1) & (filled[others] == 0).all(axis=1)]
        expected |= dict.fromkeys(alone.sample(n=200, random_state=seed).index, task)
    candidates = [
        (image, {name: int(state) for name, state in zip(table.columns, row, strict=True) if state == state})
        for image, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    assert chexpert_5x200(candidates, seed=seed) == expected


@pytest.fixture(scope="module")
def visits():
    """5,000 images of 3,000 patients, in any order, with a share of uncertain labels that matters."""
    random = np.random.default_rng(1)
    states = random.choice([1.0, 0.0, -1.0, np.nan], (5000, 14), p=[0.15, 0.15, 0.05, 0.65])
    table = pd.DataFrame(states, columns=[label.lower() for label in LABELS])
    table["patient"] = [f"p{number}" for number in random.integers(0, 3000, 5000)]
    return table.set_index(pd.Index([f"image {number}" for number in range(5000)]))


def candidates_of(visits):
    names = [name for name in visits.columns if name != "patient"]
    for image, row in visits.iterrows():
        yield image, row["patient"], {name: int(row[name]) for name in names if row[name] == row[name]}


@pytest.mark.parametrize("seed", [0, 42])
def test_the_subset_of_mimic_is_the_one_that_pandas_draws(visits, seed):
    tasks = visits[list(TASKS)].fillna(0)
    one = visits[(tasks == 1).sum(axis=1) == 1].drop_duplicates("patient")
    expected = {}
    for task in TASKS:
        others = [name for name in TASKS if name != task]
        alone = one[(one[task] == 1) & (one[others].fillna(0) == 0).all(axis=1)]
        assert len(alone) >= 200
        expected |= dict.fromkeys(alone.sample(n=200, random_state=seed).index, task)
    assert mimic_5x200(candidates_of(visits), seed=seed) == expected


def test_fewer_are_taken_only_where_fewer_are_asked_for(visits):
    few = visits.iloc[:300]
    chosen = mimic_5x200(candidates_of(few), seed=0, at_least=1)
    assert 0 < len(chosen) < 300
    assert {*chosen.values()} == {*TASKS}
    with pytest.raises(
        CallError, match=r"\d+ patients' first frontal images show atelectasis alone.* takes 200"
    ):
        mimic_5x200(candidates_of(few), seed=0)


def test_a_subset_takes_its_images_out_of_their_split_and_their_patients_out_of_all():
    subset = Subset("5x200-seed-0", "a rule", {"a.jpg": "edema"}, frozenset({"p1"}))
    assert subset.split_of("a.jpg", "p1", "train") == "5x200-seed-0"
    assert subset.split_of("b.jpg", "p1", "train") is None
    assert subset.split_of("b.jpg", "p1", "test") is None
    assert subset.split_of("c.jpg", "p2", "train") == "train"
    assert Subset().split_of("a.jpg", "p1", "train") == "train"


def test_the_card_counts_what_the_subset_has_of_each_class():
    card = Subset("5x200-seed-0", "a rule", {"a.jpg": "edema", "b.jpg": "edema"}).card()
    classes = {**dict.fromkeys(TASKS, 0), "edema": 2}
    assert card == {"subset": {"name": "5x200-seed-0", "rule": "a rule", "classes": classes}}
    assert Subset().card() == {}
