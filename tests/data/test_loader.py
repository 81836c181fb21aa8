import numpy as np
import pytest
import torch

from medistill.data.augment import augment
from medistill.data.loader import WindowLoader
from medistill.data.order import epoch_windows

TEXTS = [f"report {i // 2}" for i in range(10)]
STUDIES = [f"s{i // 3}" for i in range(10)]


def image(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (20, 24), dtype=np.uint8)


def tokens(texts) -> tuple[torch.Tensor, torch.Tensor]:
    """A report's number, then as many further tokens."""
    lengths = [1 + int(text.split()[1]) for text in texts]
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return mask.long() * torch.tensor(lengths)[:, None], mask


def loader(**changes) -> WindowLoader:
    values = {"size": 16, "window": 4, "seed": 0, "augmented": True, "workers": 0, **changes}
    return WindowLoader(image, TEXTS, STUDIES, tokens, **values)


def test_an_epoch_visits_every_pair_once():
    windows = epoch_windows(10, 4, seed=0, epoch=0)
    assert [len(w) for w in windows] == [4, 4, 2]
    assert sorted(np.concatenate(windows).tolist()) == list(range(10))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = {tuple(np.concatenate(epoch_windows(10, 4, seed=s, epoch=e))) for s in (0, 1) for e in (0, 1)}
    assert len(orders) == 4


def test_the_number_of_workers_changes_nothing():
    for one, other in zip(loader().windows(1), loader(workers=2).windows(1), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.tokens, other.tokens)


def test_a_later_start_gives_the_rest_of_the_same_epoch():
    whole, rest = list(loader().windows(2)), list(loader().windows(2, start=1))
    assert len(rest) == 2
    assert torch.equal(whole[1].images, rest[0].images)


def test_loading_leaves_the_global_random_state_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    list(loader().windows(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_ids_are_equal_where_study_or_text_is():
    window = next(loader(window=10).windows(0))
    order = epoch_windows(10, 10, seed=0, epoch=0)[0]
    same_text = [[TEXTS[i] == TEXTS[j] for j in order] for i in order]
    same_study = [[STUDIES[i] == STUDIES[j] for j in order] for i in order]
    assert (window.text[:, None] == window.text).tolist() == same_text
    assert (window.study[:, None] == window.study).tolist() == same_study


def test_a_part_of_a_window_is_cut_to_its_longest_text():
    window = next(loader().windows(0))
    part = window.part(slice(1, 3), torch.device("cpu"))
    assert part.tokens.shape[1] == int(window.mask[1:3].sum(dim=1).max())
    assert torch.equal(part.tokens, window.tokens[1:3, : part.tokens.shape[1]])
    assert torch.equal(part.images, window.images[1:3])


def disk(x: float, y: float) -> torch.Tensor:
    grid = torch.arange(64.0)
    inside = (grid[None, :] - x) ** 2 + (grid[:, None] - y) ** 2 < 36
    return (inside * 200).to(torch.uint8)[None]


@pytest.mark.parametrize("epoch", range(20))
def test_augmentation_never_changes_sides(epoch):
    moved = augment(disk(46, 30), np.array([5]), seed=0, epoch=epoch)[0].float()
    center = (moved.sum(dim=0) * torch.arange(64.0)).sum() / moved.sum()
    assert 36 < float(center) < 56


def test_augmentation_is_a_function_of_seed_epoch_and_index():
    images = torch.cat([disk(20, 20), disk(40, 40)])
    both = augment(images, np.array([7, 9]), seed=1, epoch=2)
    assert torch.equal(augment(images[1:], np.array([9]), seed=1, epoch=2)[0], both[1])
    assert not torch.equal(augment(images, np.array([7, 9]), seed=1, epoch=3), both)
