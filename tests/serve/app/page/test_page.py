"""The page in a real browser: from a file to scores, past cases and a heat map."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.serve.app.page.browser import (
    WIDTHS,
    ask_for,
    choose,
    colored,
    dicom_file,
    film_pixels,
    phantom_png,
)

pytestmark = pytest.mark.slow
REAL = Path(os.environ.get("MEDISTILL_REAL_DATA", Path(__file__).parents[5] / "shared" / "data"))
WORDS = ("likely", "unlikely", "cannot tell")


def expect_scores(page):
    known = ask_for(page, "cardiomegaly")
    assert known.locator(".figure b").inner_text().endswith("%")
    assert any(word in known.locator(".word").inner_text() for word in WORDS)
    assert "validation studies" in known.locator(".basis").inner_text()
    assert known.locator(".tag").count() == 0
    unknown = ask_for(page, "rib notching")
    assert unknown.locator(".tag").inner_text() == "uncalibrated"
    assert "%" not in unknown.locator(".figure").inner_text()
    assert "not a probability" in unknown.locator(".figure").inner_text()


def expect_cases(page, marked_for, count=10):
    # until then the hits are those of an earlier search
    page.locator("#cases-state", has_text=f"; marked: {marked_for}").wait_for()
    hits = page.locator("#hits > li")
    assert hits.count() == count
    assert "nearest of" in page.locator("#cases-state").inner_text()
    for i in range(count):
        hits.nth(i).locator("img").wait_for()
        assert hits.nth(i).locator("img").evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 0
        assert hits.nth(i).locator(".report").inner_text()
    similarity = [float(text) for text in page.locator(".similarity b").all_inner_texts()]
    assert similarity == sorted(similarity, reverse=True)
    marked = page.locator("#hits mark")
    marked.first.wait_for()
    assert 0 < len(marked.first.inner_text()) < 200
    assert page.locator("#cases-state").inner_text().endswith(f"marked: {marked_for}")


def expect_heat(page):
    assert colored(film_pixels(page)) == 0
    page.get_by_role("button", name="Show where: cardiomegaly").click()
    page.locator("#heat-said:not(:empty)").wait_for()
    said = page.locator("#heat-said").inner_text()
    assert "picture" in said
    assert page.locator("#status").get_by_text(said, exact=True).count() == 1
    warm = colored(film_pixels(page))
    assert warm > 0.01
    page.locator("#opacity").fill("10")
    assert colored(film_pixels(page)) < warm
    page.get_by_role("button", name="Hide").click()
    assert colored(film_pixels(page)) == 0


def assert_fits(page):
    assert page.evaluate("() => document.documentElement.scrollWidth") == page.viewport_size["width"]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_picture_gets_scores_cases_and_a_heat_map(visit, width):
    page = visit(width)
    assert page.get_by_text("Not a medical device.").first.is_visible()
    assert_fits(page)
    choose(page, phantom_png())
    assert page.locator("#film-facts").inner_text() == "Picture · 128 \u00d7 128 · 8 bit"
    expect_scores(page)
    expect_cases(page, "rib notching")  # the finding typed last
    expect_heat(page)
    assert_fits(page)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_dicom_file_is_shown_in_its_own_window_which_can_be_changed(visit, width):
    page = visit(width)
    choose(page, dicom_file(), "film.dcm")
    assert page.locator("#film-facts").inner_text() == "DICOM · 128 \u00d7 128 · 12 bit"
    first = film_pixels(page)
    assert page.locator("#view-window").inner_text() == "W 2000  L 1500  100 %"
    page.locator("#level").fill(str(1500 + 500))
    darker = film_pixels(page)
    assert darker.mean() < first.mean() - 20
    page.get_by_role("button", name="Reset window").click()
    np.testing.assert_array_equal(film_pixels(page), first)
    expect_scores(page)
    expect_cases(page, "rib notching")  # the finding typed last
    expect_heat(page)


def test_dragging_over_the_film_sets_width_and_level(visit):
    page = visit()
    choose(page, dicom_file(), "film.dcm")
    box = page.locator("#view").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 60, y - 40)
    page.mouse.up()
    assert int(page.locator("#width-now").inner_text()) > 2000
    assert int(page.locator("#level-now").inner_text()) < 1500


@pytest.mark.real
@pytest.mark.parametrize(("width", "name"), [(1280, "rsna_chest_pa"), (390, "RG1_J2KI")])
def test_a_real_dicom_file_goes_the_same_way(visit, width, name):
    file = REAL / "dicom" / f"{name}.dcm"
    if not file.is_file():
        pytest.skip("no real data here: set MEDISTILL_REAL_DATA to the folder that holds it")
    page = visit(width)
    choose(page, file.read_bytes(), "film.dcm")
    assert page.locator("#film-facts").inner_text().startswith("DICOM")
    shown = film_pixels(page)[..., 0]
    assert shown.std() > 30  # neither black nor washed out
    expect_scores(page)
    expect_cases(page, "rib notching")  # the finding typed last
    expect_heat(page)


def test_words_alone_find_cases_and_filters_narrow_them(visit):
    page = visit()
    page.fill("#query", "The heart is enlarged.")
    page.press("#query", "Enter")
    expect_cases(page, "The heart is enlarged.")
    page.locator("#filters > summary").click()
    page.get_by_label("F", exact=True).check()
    page.locator("#hits[aria-busy=false]").wait_for()
    facts = page.locator("#hits .facts").all_inner_texts()
    assert facts
    assert all("F" in line.split() for line in facts)
    page.get_by_role("button", name="Clear filters").click()
    page.locator("#hits[aria-busy=false]").wait_for()
    assert page.locator("#hits .facts").all_inner_texts() != facts


def test_image_and_words_are_weighed_against_each_other(visit):
    page = visit()
    choose(page, phantom_png())
    expect = page.locator("#hits[aria-busy=false] > li")
    expect.nth(9).wait_for()
    found = {}
    page.check("#search-form input[value=both]", force=True)
    page.fill("#query", "There is a pacemaker.")
    for weight in ("0", "50", "100"):
        with page.expect_response("**/v1/search") as answered:
            page.locator("#weight").fill(weight)
        found[weight] = [hit["case"] for hit in answered.value.json()["hits"]]
    assert found["0"] != found["100"]
    assert found["0"] != found["50"] != found["100"]


def test_a_past_case_opens_in_the_viewer_and_is_not_its_own_neighbor(visit):
    page = visit()
    page.get_by_role("button", name="Example 1", exact=True).click()
    page.locator("#hits > li").nth(9).wait_for()
    assert page.locator("#film-facts").inner_text().startswith("Past case")
    with page.expect_request("**/v1/search") as asked:
        page.locator("#hits .picture").nth(1).click()
    case = asked.value.post_data_json["of"]["case"]
    found = asked.value.response().json()["hits"]
    assert case in [hit["case"] for hit in found]
    others = [hit["text"] for hit in found if hit["case"] != case]
    page.locator("#hits[aria-busy=false] > li").nth(9).wait_for()
    assert page.locator("#hits .report").all_inner_texts() == others[:10]
