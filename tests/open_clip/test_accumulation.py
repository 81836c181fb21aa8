"""open_clip's own training step, as `benchmarks/cuda.py` calls it; run by `make check-open-clip`."""

import pytest
import torch
from benchmarks.on_card.entrant import Entrant, noise_window
from benchmarks.on_card.rivals import OpenClipAccumulation

from tests.conftest import tiny_recipe

try:
    import open_clip_train.train  # noqa: F401
except (ImportError, RuntimeError) as error:
    pytest.skip(f"open_clip does not import here ({error}): make check-open-clip", allow_module_level=True)


def test_its_accumulation_takes_the_step_that_our_gradcache_takes(fabric):
    recipe = tiny_recipe(objective="gradcache")
    window = noise_window(recipe, 8, pinned=False)
    ours, theirs = Entrant(recipe, fabric), OpenClipAccumulation(recipe, fabric)
    ours.train(window)
    theirs.train(window)
    for mine, other in zip(ours.student.parameters(), theirs.view.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=1e-3)
