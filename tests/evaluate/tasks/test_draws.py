"""Which training studies a few-shot classifier is given."""

import numpy as np
import pytest

from medistill.evaluate.tasks.draws import SHARES, draw_classes, draw_shares, draw_shots, exclusive


@pytest.fixture
def labeled():
    rng = np.random.default_rng(1)
    labels = rng.choice([1, 0, -1, np.nan], (200, 2), p=[0.3, 0.5, 0.1, 0.1]).astype(np.float32)
    return labels, [f"{i // 2:03d}" for i in range(200)], ("alpha", "beta")


@pytest.fixture
def shared():
    """1,000 patients of one to three studies, three findings of which gamma is rare."""
    rng = np.random.default_rng(2)
    patients = [f"{i:04d}" for i in range(1000) for _ in range(1 + i % 3)]
    labels = (rng.random((len(patients), 3)) < [0.3, 0.1, 0.004]).astype(np.float32)
    labels[rng.random(len(patients)) < 0.1] = np.nan
    return labels, patients, ("alpha", "beta", "gamma")


def classes(counts, patients_each=1):
    """So many studies of each class, each patient with as many studies of one class."""
    place = np.repeat(np.arange(len(counts)), counts)
    labels = np.eye(len(counts), dtype=np.float32)[place]
    return labels, [f"{i // patients_each:03d}" for i in range(len(place))]


def test_a_draw_holds_k_patients_of_each_kind_and_none_of_both(labeled):
    labels, patients, findings = labeled
    for draw in draw_shots(labels, patients, findings, draws=10, seed=0):
        own = labels[draw.studies, draw.finding]
        assert own.tolist() == [1] * draw.k + [0] * draw.k
        drawn = [patients[study] for study in draw.studies]
        assert len(set(drawn)) == 2 * draw.k
        ever = {patients[i] for i in np.flatnonzero(labels[:, draw.finding] == 1)}
        assert not ever & set(drawn[draw.k :])


def test_draws_differ_from_each_other_and_repeat_with_the_seed(labeled):
    first, second = (draw_shots(*labeled[:2], labeled[2], draws=10, seed=3) for _ in range(2))
    assert all((a.studies == b.studies).all() for a, b in zip(first, second, strict=True))
    assert len({tuple(draw.studies) for draw in first if draw.k == 16}) == 20


def test_a_findings_draws_do_not_depend_on_the_other_findings(labeled):
    labels, patients, findings = labeled
    drawn = draw_shots(labels, patients, findings, draws=2, seed=0)
    both = [draw.studies.tolist() for draw in drawn if draw.finding == 1]
    alone = draw_shots(labels[:, 1:], patients, findings[1:], draws=2, seed=0)
    assert both == [draw.studies.tolist() for draw in alone]


def test_a_finding_with_too_few_patients_is_left_out_at_that_k():
    labels = np.zeros((60, 1), np.float32)
    labels[:5] = 1
    drawn = draw_shots(labels, [str(i) for i in range(60)], ("rare",), draws=2, seed=0)
    assert {draw.k for draw in drawn} == {1, 4}


def test_a_smaller_share_is_part_of_the_larger_ones_of_its_number(shared):
    drawn = draw_shares(*shared, draws=3, seed=0)
    for number in range(3):
        one, ten = (
            set(next(d for d in drawn if d.number == number and d.share == share).studies.tolist())
            for share in ("1%", "10%")
        )
        assert one < ten


def test_shares_hold_that_part_of_the_patients_with_all_their_labeled_studies(shared):
    labels, patients, _ = shared
    labeled = {patient for patient, row in zip(patients, labels, strict=True) if np.isfinite(row).any()}
    for draw in draw_shares(*shared, draws=3, seed=0):
        drawn = {patients[study] for study in draw.studies}
        assert draw.patients == len(drawn) == pytest.approx(SHARES[draw.share] * len(labeled), abs=3)
        theirs = [
            i for i, patient in enumerate(patients) if patient in drawn and np.isfinite(labels[i]).any()
        ]
        assert draw.studies.tolist() == theirs


def test_even_one_percent_holds_a_patient_with_the_rarest_finding(shared):
    labels, _, _ = shared
    assert all((labels[draw.studies, 2] == 1).any() for draw in draw_shares(*shared, draws=5, seed=0))


def test_the_whole_is_drawn_once_and_the_parts_differ_from_draw_to_draw(shared):
    drawn = draw_shares(*shared, draws=5, seed=0)
    counts = {share: sum(draw.share == share for draw in drawn) for share in SHARES}
    assert counts == {"1%": 5, "10%": 5, "100%": 1}
    assert len({tuple(draw.studies) for draw in drawn}) == len(drawn)


def test_shares_repeat_with_the_seed_and_do_not_depend_on_the_order_of_findings(shared):
    labels, patients, findings = shared
    first = draw_shares(labels, patients, findings, draws=2, seed=4)
    turned = draw_shares(labels[:, ::-1], patients, findings[::-1], draws=2, seed=4)
    other = draw_shares(labels, patients, findings, draws=2, seed=5)
    assert [d.studies.tolist() for d in first] == [d.studies.tolist() for d in turned]
    assert first[0].studies.tolist() != other[0].studies.tolist()


def test_without_labels_there_is_no_share():
    assert draw_shares(np.full((9, 2), np.nan, np.float32), ["a"] * 9, ("x", "y"), draws=2, seed=0) == []


def test_findings_are_classes_where_each_labeled_study_has_one_and_no_other():
    labels, _ = classes((3, 2))
    assert exclusive(labels)
    assert exclusive(np.concatenate([labels, np.full((2, 2), np.nan, np.float32)]))
    for odd in ([1, 1], [0, 0], [1, -1], [1, np.nan]):
        assert not exclusive(np.concatenate([labels, np.array([odd], np.float32)]))
    assert not exclusive(labels[:0])
    assert not exclusive(np.ones((4, 1), np.float32))


def test_a_draw_of_classes_holds_k_patients_of_each_in_their_order():
    labels, patients = classes((20, 40, 60), patients_each=2)
    drawn = draw_classes(labels, patients, ("a", "b", "c"), draws=3, seed=0)
    assert [(draw.k, draw.number) for draw in drawn] == [(k, n) for k in (1, 4) for n in range(3)]
    for draw in drawn:
        assert labels[draw.studies].argmax(axis=1).tolist() == np.repeat([0, 1, 2], draw.k).tolist()
        assert len({patients[study] for study in draw.studies}) == 3 * draw.k


def test_a_patient_of_two_classes_is_drawn_for_neither():
    labels, patients = classes((2, 2))
    patients = ["both", "a", "both", "b"]
    drawn = draw_classes(labels, patients, ("x", "y"), draws=20, seed=0)
    assert {tuple(draw.studies) for draw in drawn} == {(1, 3)}
