import json
import sys

import pytest

from medistill.compare.run import MICRO_BATCHES, at_equal_memory
from medistill.engine.plan.plan import make_plan
from medistill.engine.plan.probe import Measure
from medistill.recipe import Recipe
from tests.compare.conftest import tiny_comparison
from tests.engine.plan.test_plan import MB, measure


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


@pytest.mark.parametrize(
    ("memory", "sizes_wanted"), [(10**10, (8, 8)), (250 * MB, (8, 6)), (200 * MB, (8, 4))]
)
def test_each_objective_takes_what_its_own_measures_leave_room_for(
    tmp_path, monkeypatch, memory, sizes_wanted
):
    """A pair takes 10 MB without a teacher, 20 with one. Plenty of memory takes whole windows."""

    def measured(recipe: Recipe, **_: bool) -> Measure:
        a_pair = 10 if recipe.objective == "clip" else 20
        return measure(recipe.micro_batch, (100 + a_pair * recipe.micro_batch) * MB)

    monkeypatch.setattr(sys.modules[make_plan.__module__], "run_probe", measured)
    fitted = at_equal_memory(tiny_comparison(memory=memory), tmp_path)
    wanted = dict(zip(("clip", "msd"), sizes_wanted, strict=True))
    assert sizes(fitted) == wanted
    assert json.loads((tmp_path / MICRO_BATCHES).read_text()) == wanted
