"""The comparison's page in a browser: what it says has room at any width."""

import pytest

from medistill.compare.page import page
from tests.compare.conftest import tiny_comparison
from tests.compare.test_results import FIVE, results_of

ROOM = """table => [...table.querySelectorAll("td.plot")]
    .filter(cell => cell.offsetParent).map(cell => cell.getBoundingClientRect().width)"""
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """() => [...document.querySelectorAll("td, th")]
    .filter(cell => cell.offsetParent && cell.scrollWidth > cell.clientWidth + 1)
    .map(cell => cell.textContent)"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 800, 500])
def test_plots_have_room_and_nothing_runs_out_of_the_page(chromium, tmp_path, width):
    results = results_of(tmp_path, tiny_comparison(seeds=5), FIVE)
    drawn = chromium.new_page(viewport={"width": width, "height": 900})
    drawn.set_content(page(results))
    rooms = [room for table in drawn.locator("table").all() for room in table.evaluate(ROOM)]
    assert drawn.evaluate(TOO_WIDE) <= 0
    assert drawn.evaluate(CUT) == []
    assert min(rooms, default=150) >= 150
    assert bool(rooms) == (width > 640)
    drawn.close()
