import json

import pytest

from medistill.compare.run import MICRO_BATCHES, at_equal_memory
from tests.compare.conftest import tiny_comparison


def sizes(comparison) -> dict[str, int]:
    return {entrant.label: entrant.recipe.micro_batch for entrant in comparison.entrants}


def test_without_a_limit_the_recipes_micro_batch_stays(tmp_path):
    comparison = tiny_comparison()
    assert at_equal_memory(comparison, tmp_path) is comparison
    assert not any(tmp_path.iterdir())


def test_micro_batches_are_measured_once_and_kept(tmp_path):
    (tmp_path / MICRO_BATCHES).write_text(json.dumps({"clip": 8, "msd": 2}))
    fitted = at_equal_memory(tiny_comparison(memory=10**9), tmp_path)
    assert sizes(fitted) == {"clip": 8, "msd": 2}
    assert fitted.settings("hash")["objectives"]["msd"] == {
        "objective": "msd",
        "micro_batch": 2,
        "micro_per_step": 2,
    }


@pytest.mark.slow
def test_plenty_of_memory_takes_whole_windows(tmp_path):
    fitted = at_equal_memory(tiny_comparison(memory=10**10), tmp_path)
    assert sizes(fitted) == {"clip": 8, "msd": 8}
    assert json.loads((tmp_path / MICRO_BATCHES).read_text()) == {"clip": 8, "msd": 8}
