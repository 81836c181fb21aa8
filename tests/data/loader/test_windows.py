import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from medistill.data.image import letterbox
from medistill.data.loader import Window, WindowLoader
from medistill.data.loader.augment import augment
from medistill.data.loader.batched import augment_on
from medistill.data.loader.order import epoch_places, epoch_windows
from medistill.data.loader.wording import Wordings
from medistill.errors import MedistillError

PAIRS = 90
"""More than two chunks."""
TEXTS = [f"report {i % 37}" for i in range(PAIRS)]
STUDIES = [f"s{i // 3}" for i in range(PAIRS)]
ALL, CPU, CARD = slice(None), torch.device("cpu"), torch.device("cuda")


def image(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (20, 24), dtype=np.uint8)


def tokens(texts) -> tuple[torch.Tensor, torch.Tensor]:
    """A report's number, as often as it says; then 99."""
    lengths = torch.tensor([1 + int(text.split()[1]) for text in texts])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    return torch.where(mask, lengths[:, None], 99), mask


def loader(**changes) -> WindowLoader:
    values = {"pad": 99, "size": 16, "window": 36, "seed": 0, "augmented": True, "workers": 0, **changes}
    texts = values.pop("wordings", Wordings([(text,) for text in TEXTS], seed=0))
    return WindowLoader(values.pop("read_image", image), texts, STUDIES, tokens, **values)


def of_this_process(row: int) -> np.ndarray:
    """An image whose first pixels say who made it."""
    return np.resize(np.frombuffer(os.getpid().to_bytes(8), np.uint8), (16, 16))


def process(pixels: np.ndarray) -> int:
    return int.from_bytes(pixels[0, :8].tobytes())


def slow_image(row: int) -> np.ndarray:
    time.sleep(0.001)
    return image(row)


def image_and_note(path: Path, row: int) -> np.ndarray:
    with path.open("a") as file:
        file.write(f"{row}\n")
    return image(row)


def image_or_death(parent: int, row: int) -> np.ndarray:
    if row == 5 and os.getpid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
    return image(row)


def broken_image(row: int) -> np.ndarray:
    if row == 5:
        raise MedistillError(f"image {row} is broken")
    return image(row)


def assert_same(one: Window, other: Window) -> None:
    for name in ("images", "tokens", "mask", "study", "text"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def assert_all_same(some, others) -> None:
    for one, other in zip(some, others, strict=True):
        assert_same(one, other)


def test_a_window_holds_the_pairs_of_the_order():
    source = loader(augmented=False, size=24)
    for order, window in zip(source.order(1), source.windows(1), strict=True):
        ids, mask = tokens([TEXTS[row] for row in order])
        assert torch.equal(window.tokens, ids)
        assert torch.equal(window.mask, mask)
        assert (window.images[:, 2:22].numpy() == np.stack([image(row) for row in order])).all()


def test_the_number_of_workers_changes_nothing():
    for workers in (1, 2):
        assert_all_same(loader(workers=workers).windows(1), loader().windows(1))


def test_whatever_is_asked_for_the_same_workers_make_it():
    source = loader(workers=2, read_image=of_this_process, augmented=False)
    made = [
        {process(pixels.numpy()) for window in source.windows(epoch) for pixels in window.images}
        for epoch in (0, 1, 7, 1)
    ]
    assert len(set.union(*made)) == 2
    assert process(of_this_process(0)) not in made[0]


def test_the_next_window_be_it_of_the_next_epoch_is_made_while_one_is_in_use(tmp_path):
    source = loader(workers=1, window=PAIRS, read_image=partial(image_and_note, tmp_path / "made"))
    for epoch in range(2):
        next(source.windows(epoch))
    deadline = time.monotonic() + 10
    while len(made := (tmp_path / "made").read_text().split()) < 3 * PAIRS and time.monotonic() < deadline:
        time.sleep(0.01)
    order = np.concatenate([source.order(epoch)[0] for epoch in range(3)])
    assert [int(row) for row in made[: 3 * PAIRS]] == order.tolist()


@pytest.mark.slow  # the other workers are asked every 5 s
def test_a_worker_that_is_killed_ends_loading_with_an_error():
    source = loader(workers=2, read_image=partial(image_or_death, os.getpid()))
    with pytest.raises(RuntimeError, match="worker"):
        list(source.windows(0))


@pytest.mark.slow  # a second Python imports torch
@pytest.mark.parametrize("end", ["", "raise SystemExit(3)"])
def test_a_program_that_ends_inside_an_epoch_ends_its_workers(end):
    script = (
        "from tests.data.loader.test_windows import loader\n"
        f"source = loader(workers=2)\nnext(source.windows(0))\n{end}"
    )
    root = Path(__file__).parents[3]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, timeout=60, capture_output=True)
    assert (ended.returncode, ended.stderr) == (3 if end else 0, b"")


def test_an_error_of_a_worker_is_raised_each_time_its_window_is_asked_for():
    source = loader(workers=1, read_image=broken_image)
    epoch = next(epoch for epoch in range(20) if 5 in source.order(epoch)[1])
    windows = source.windows(epoch)
    next(windows)
    for asked in (windows, source.windows(epoch, 1), source.windows(epoch, 1)):
        with pytest.raises(MedistillError, match="image 5 is broken"):
            next(asked)


def test_workers_can_be_started_by_any_method():
    windows = loader()
    assert pickle.loads(pickle.dumps(windows.source)).wordings.options == [(text,) for text in TEXTS]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_later_start_gives_the_rest_of_the_same_epoch(workers):
    whole, rest = list(loader().windows(2)), list(loader(workers=workers).windows(2, start=1))
    assert_all_same(whole[1:], rest)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_early_can_be_begun_again_or_elsewhere(workers):
    first, sixth = list(loader().windows(0)), list(loader().windows(5))
    source = loader(workers=workers, read_image=slow_image)
    left = source.windows(0)
    next(left)
    assert_same(next(source.windows(0, 1)), first[1])
    for _ in range(3):
        assert_same(next(source.windows(0)), first[0])
        assert_same(next(source.windows(5, 1)), sixth[1])
    assert_all_same(left, first[1:])


def test_loading_leaves_the_global_random_states_alone():
    torch.manual_seed(3)
    before, numbers = torch.get_rng_state(), np.random.get_state()[1].copy()
    list(loader().windows(0))
    list(loader(workers=1).windows(0))
    assert torch.equal(torch.get_rng_state(), before)
    assert (np.random.get_state()[1] == numbers).all()


@pytest.mark.parametrize("parts", [2, 3])
def test_the_parts_of_several_processes_are_the_window_of_one(parts):
    """All windows of 90 pairs, the short last one too, can be shared by 2 and by 3: nothing is carried."""
    shares = [loader(share=(part, parts), workers=part).windows(1) for part in range(parts)]
    for whole, *windows in zip(loader().windows(1), *shares, strict=True):
        pairs = len(whole) // parts
        for part, window in enumerate(windows):
            assert_same(window.part(ALL, CPU), whole.part(slice(part * pairs, (part + 1) * pairs), CPU))


@pytest.mark.parametrize("epoch", [0, 1])
def test_a_carried_row_is_augmented_as_in_the_epoch_it_was_drawn_in(epoch):
    places = epoch_places(PAIRS, seed=0, epoch=epoch, ranks=4)
    squares = np.stack([letterbox(image(row), 16) for row in places[:, 1]])
    shares = zip(*(loader(share=(part, 4)).windows(epoch) for part in range(4)), strict=True)
    loaded = torch.cat([window.images for windows in shares for window in windows])
    assert (loaded.numpy() == augment(squares, places, seed=0)).all()


def test_a_window_is_augmented_as_strongly_as_asked():
    places = epoch_places(PAIRS, seed=0, epoch=1, ranks=1)
    squares = np.stack([letterbox(image(row), 16) for row in places[:, 1]])
    loaded = torch.cat([window.images for window in loader(strength=2.5).windows(1)])
    assert (loaded.numpy() == augment(squares, places, seed=0, strength=2.5)).all()


def test_a_window_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(ValueError, match="part 0 of 5 of a window of 36 pairs"):
        loader(share=(0, 5))
    with pytest.raises(ValueError, match="part 2 of 2"):
        loader(share=(2, 2))


def test_ids_are_equal_where_study_or_text_is():
    window = next(loader(window=PAIRS).windows(0))
    order = epoch_windows(PAIRS, PAIRS, seed=0, epoch=0)[0]
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


def test_a_part_on_the_cpu_copies_nothing():
    window = next(loader().windows(0))
    for name in ("images", "tokens", "mask", "study", "text"):
        part = getattr(window.part(slice(0, 3), CPU), name)
        assert part.data_ptr() == getattr(window, name).data_ptr()
        assert not part.is_pinned()


@pytest.mark.parametrize(("workers", "strength"), [(0, 1.0), (2, 1.0), (0, 2.5)])
def test_windows_for_a_card_are_augmented_there_alike(monkeypatch, workers, strength):
    """A card that is this process, which sees images as they were decoded."""
    seen: list[torch.Tensor] = []

    def on_card(device, images, settings):
        seen.append(images.clone())
        augment_on(CPU, images, settings)

    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    monkeypatch.setattr("medistill.data.loader.windows.augment_on", on_card)
    for_card = list(loader(device=CARD, workers=workers, strength=strength).windows(1))
    decoded = [replace(window, images=images) for window, images in zip(for_card, seen, strict=True)]
    assert_all_same(decoded, loader(augmented=False).windows(1))
    for one, other in zip(for_card, loader(strength=strength).windows(1), strict=True):
        assert (one.images.int() - other.images.int()).abs().max() <= 1
        assert_same(one, replace(other, images=one.images))


def test_windows_for_a_card_come_as_they_are_if_not_augmented(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)
    assert_all_same(loader(device=CARD, augmented=False).windows(1), loader(augmented=False).windows(1))


@pytest.mark.cuda
@pytest.mark.parametrize("workers", [0, 2])
def test_windows_for_a_card_come_in_pinned_memory(workers):
    for pinned, plain in zip(
        loader(device=CARD, workers=workers).windows(0), loader().windows(0), strict=True
    ):
        names = ("images", "tokens", "mask", "study", "text")
        assert all(getattr(pinned, name).is_pinned() for name in names)
        for rows in (slice(1, 9), slice(1, 9), slice(9, 17), slice(17, 25), slice(0, 8)):
            part, there = plain.part(rows, CPU), pinned.part(rows, CARD)
            back = Window(*(getattr(there, name).cpu() for name in names))
            assert (back.images.int() - part.images.int()).abs().max() <= 1
            assert_same(replace(back, images=part.images), part)
