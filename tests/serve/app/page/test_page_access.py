"""The page by keyboard, for screen readers, by touch, in light and dark."""

from pathlib import Path

import pytest

from tests.serve.app.page.browser import WIDTHS, ask_for, choose, dicom_file, phantom_png

pytestmark = pytest.mark.slow
PINCH = """(view) => {
    const box = view.getBoundingClientRect();
    const send = (type, pointerId, x) => view.dispatchEvent(new PointerEvent(type, {
        pointerId, pointerType: "touch", clientX: box.left + x, clientY: box.top + 100, bubbles: true,
    }));
    view.setPointerCapture = () => {}; // these pointers are not the system's
    send("pointerdown", 1, 150);
    send("pointerdown", 2, 200);
    send("pointermove", 2, 250);
    send("pointerup", 1, 150);
    send("pointerup", 2, 250);
}"""


def faults(page) -> list[str]:
    """Serious and critical violations that axe-core finds."""
    axe_core = pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
    page.evaluate((Path(axe_core.__path__[0]) / "axe.min.js").read_text())
    found = page.evaluate("() => axe.run()")
    assert len(found["passes"]) > 15
    return [
        f"{fault['id']} {[node['target'] for node in fault['nodes']]}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def fill(page):
    """Bring every part of the page on it."""
    choose(page, phantom_png())
    ask_for(page, "cardiomegaly")
    ask_for(page, "rib notching")
    page.locator("#filters > summary").click()
    page.locator("#hits > li").nth(9).wait_for()
    page.get_by_role("button", name="Show where: cardiomegaly").click()
    page.locator("#heat-said:not(:empty)").wait_for()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(visit, width, scheme):
    page = visit(width, scheme, expect_faults=True)
    fill(page)
    page.set_input_files("#file", {"name": "x", "mimeType": "image/png", "buffer": b"x" * 9})
    page.get_by_role("alert").get_by_text("Not a PNG").wait_for()
    assert faults(page) == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_axe_finds_no_serious_fault_before_anything_is_opened(visit, width, scheme):
    assert faults(visit(width, scheme)) == []
    assert faults(visit(width, scheme, fragment="")) == []  # the token is asked for


def test_all_of_it_can_be_done_by_keyboard(visit):
    page = visit()
    keyboard = page.keyboard

    def focus() -> dict:
        return page.evaluate(
            "() => { const e = document.activeElement; return {id: e.id, name: e.getAttribute('aria-label'),"
            " text: e.textContent, outline: getComputedStyle(e).outlineStyle} }"
        )

    def tab_to(wanted: str) -> None:
        for _ in range(60):
            keyboard.press("Tab")
            now = focus()
            if wanted in (now["id"], now["name"], now["text"]):
                assert now["outline"] != "none" or now["id"] == "file"
                return
        raise AssertionError(f"Tab never came to {wanted}")

    tab_to("Skip to the radiograph")
    keyboard.press("Enter")
    tab_to("file")
    tab_to("Example 1")
    keyboard.press("Enter")
    page.locator("#view").wait_for()
    page.locator("#view").focus()
    before = int(page.locator("#width-now").inner_text())
    keyboard.press("ArrowLeft")
    keyboard.press("+")
    page.locator("#view-window", has_text="125 %").wait_for()
    assert int(page.locator("#width-now").inner_text()) < before
    keyboard.press("r")
    keyboard.press("0")
    page.locator("#view-window", has_text="100 %").wait_for()
    assert int(page.locator("#width-now").inner_text()) == before
    tab_to("finding")
    keyboard.type("edema")
    keyboard.press("Enter")
    page.locator("#scores .word").wait_for()
    assert page.locator("#status").get_by_text("edema: ").count() == 1  # heard, whatever else came
    tab_to("Show where: edema")
    keyboard.press("Enter")
    page.locator("#heat-said:not(:empty)").wait_for()
    tab_to("query")
    keyboard.type("clear lungs")
    keyboard.press("Enter")
    page.locator("#hits[aria-busy=false] > li").nth(9).wait_for()
    page.locator("#finding").focus()
    tab_to("Remove edema")
    keyboard.press("Enter")
    assert page.locator("#scores > li").count() == 0
    assert focus()["id"] == "finding"


def test_what_is_touched_is_44_pixels_high_and_wide(visit):
    page = visit(390)
    fill(page)
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input, summary, label.button")]
            .filter((e) => e.checkVisibility() && e.id !== "file")
            .map((e) => [e, (e.closest("label") ?? e).getBoundingClientRect()])
            .filter(([, box]) => box.width < 44 || box.height < 44)
            .map(([e, box]) => `${e.id || e.ariaLabel || e.value}: ${box.width} x ${box.height}`)"""
    )
    assert small == []


def test_the_switch_turns_light_to_dark_and_is_remembered(visit):
    page = visit(scheme="light")
    paper = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Dark colors").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    page.get_by_role("button", name="Light colors").wait_for()
    assert page.evaluate(paper) == dark


def test_nothing_moves_for_those_who_ask_for_less_motion(visit):
    page = visit()
    page.locator("#stage").evaluate("(stage) => stage.setAttribute('aria-busy', 'true')")
    moving = "() => getComputedStyle(document.getElementById('stage'), '::after').animationName"
    assert page.evaluate(moving) == "pass"
    page.emulate_media(reduced_motion="reduce")
    assert page.evaluate(moving) == "none"


def test_a_finger_zooms_by_pinching_and_then_moves_the_film(visit):
    page = visit(390)
    choose(page, dicom_file(), "film.dcm")
    page.locator("#view").evaluate(PINCH)
    page.locator("#view-window", has_text="200 %").wait_for()
    assert page.locator("#view").evaluate("(view) => getComputedStyle(view).touchAction") == "none"
    assert page.locator("#width-now").inner_text() == "2000"
