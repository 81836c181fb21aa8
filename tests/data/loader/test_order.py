import numpy as np
import pytest

from medistill.data.loader.order import epoch_places, epoch_windows, shared_windows, window_sizes


def test_an_epoch_visits_every_pair_once():
    windows = epoch_windows(10, 4, seed=0, epoch=0)
    assert [len(w) for w in windows] == [4, 4, 2]
    assert sorted(np.concatenate(windows).tolist()) == list(range(10))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(np.concatenate(epoch_windows(10, 4, seed=s, epoch=e))) for s in (0, 1) for e in (0, 1)}
    assert len(orders) == 4


@pytest.mark.parametrize("epoch", [0, 3])
def test_one_rank_has_the_order_of_the_seeded_permutation(epoch):
    expected = np.random.default_rng((5, epoch)).permutation(11)
    assert np.concatenate(epoch_windows(11, 4, seed=5, epoch=epoch)).tolist() == expected.tolist()


@pytest.mark.parametrize(("pairs", "window", "ranks"), [(10, 4, 4), (11, 6, 3), (7, 6, 2), (5, 5, 5)])
def test_epochs_of_several_ranks_are_one_stream_without_gap_or_repeat(pairs, window, ranks):
    epochs = 9
    stream = np.concatenate(
        [
            epoch_windows(pairs, window, seed=1, epoch=e)[i]
            for e in range(epochs)
            for i in range(-(-pairs // window))
        ]
    )
    taken = [w for e in range(epochs) for w in epoch_windows(pairs, window, seed=1, epoch=e, ranks=ranks)]
    assert np.concatenate(taken).tolist() == stream[: epochs * pairs // ranks * ranks].tolist()
    assert all(len(w) % ranks == 0 and len(w) <= window for w in taken)


def test_no_row_is_visited_twice_in_the_same_permutation():
    visited = [tuple(p) for e in range(8) for p in epoch_places(10, seed=0, epoch=e, ranks=4).tolist()]
    assert len(visited) == len(set(visited)) == 80
    assert sorted(visited) == [(e, row) for e in range(8) for row in range(10)]


def test_the_parts_of_a_window_are_equal_and_together_it():
    for epoch in range(3):
        parts = [shared_windows(10, 8, seed=0, epoch=epoch, share=(part, 4)) for part in range(4)]
        whole = epoch_windows(10, 8, seed=0, epoch=epoch, ranks=4)
        assert len({len(windows) for windows in parts}) == 1
        for window, shares in zip(whole, zip(*parts, strict=True), strict=True):
            assert len({len(share) for share in shares}) == 1
            assert np.concatenate(shares)[:, 1].tolist() == window.tolist()


def test_fewer_pairs_than_ranks_are_refused():
    with pytest.raises(ValueError, match="3 pairs are too few for 4 ranks"):
        epoch_places(3, seed=0, epoch=0, ranks=4)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_the_sizes_of_windows_are_known_without_drawing_them(ranks):
    for epoch in range(4):
        drawn = epoch_windows(20, 6, seed=0, epoch=epoch, ranks=ranks)
        assert window_sizes(20, 6, epoch=epoch, ranks=ranks) == [len(rows) for rows in drawn]
