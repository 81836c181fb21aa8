"""Whether the pages that two versions of the code wrote look the same in a browser.

    python benchmarks/page_pictures.py BEFORE AFTER --out PICTURES
    python benchmarks/page_pictures.py BEFORE AFTER --out PICTURES --served TREE OTHER_TREE

BEFORE and AFTER are folders written by benchmarks/unchanged.py or taken_up.py. Every HTML page in both is
drawn whole, at two widths, as it opens and with everything unfolded; the second form also draws the pages of
`medistill serve` by each tree. Prints how many pixels differ; where some do, PICTURES holds the two side by
side, and the exit status is 1. Needs playwright and Chromium.
"""

import argparse
import io
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops
from playwright.sync_api import Browser, Page, sync_playwright
from served import served
from unchanged import environment, in_place

WIDTHS = (1280, 390)
FINDINGS = ("left effusion", "edema", "rib notching")
FILM = Path("files/csv/films/7.png")
UNFOLD = "() => document.querySelectorAll('details').forEach((part) => (part.open = true))"

TIMED = "comparisons/objectives/page.html"
"""It shows how long training took, which no two runs have in common. The same page from the same times is in
`page_pictures.py BEGUN/whole DONE/again`, of folders that taken_up.py wrote."""
LEVELS = 2
"""Of 255, up to which a pixel is the same: the edge of a curve is drawn one level apart now and then."""


def pictures(browser: Browser, folder: Path) -> Iterator[tuple[str, bytes]]:
    """A name and a PNG for each page below a folder, width and state of what unfolds."""
    for path in sorted(folder.rglob("*.html")):
        name = path.relative_to(folder).as_posix()
        for width in () if name == TIMED else WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.goto(path.absolute().as_uri())
            yield f"{name} {width} closed", page.screenshot(full_page=True)
            page.evaluate(UNFOLD)
            yield f"{name} {width} open", page.screenshot(full_page=True)
            page.close()


def served_pictures(browser: Browser, folder: Path, tree: Path) -> Iterator[tuple[str, bytes]]:
    """The page of `medistill serve`, empty and in use, and the page of its interface."""
    with in_place(folder) as place, served(environment(tree), place) as url:
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900}, reduced_motion="reduce")
            page.goto(url)
            page.wait_for_selector("body[data-ready]")
            yield f"serve / {width} empty", page.screenshot(full_page=True)
            use(page, folder / FILM)
            yield f"serve / {width} in use", page.screenshot(full_page=True)
            page.goto(f"{url.partition('#')[0]}docs")
            yield f"serve /docs {width}", page.screenshot(full_page=True)
            page.close()


def use(page: Page, film: Path) -> None:
    """An image with scores, where one of them points, and past cases."""
    page.set_input_files("#file", film)
    page.wait_for_selector("#view:visible")
    for finding in FINDINGS:
        page.fill("#finding", finding)
        page.press("#finding", "Enter")
        page.locator("#scores > li").filter(has_text=finding).locator(".word").wait_for()
    page.get_by_role("button", name=f"Show where: {FINDINGS[0]}").click()
    page.locator("#heat-said:not(:empty)").wait_for()
    page.locator("#cases-state", has_text=f"marked: {FINDINGS[0]}").wait_for()
    page.locator("#hits img").nth(9).wait_for()
    page.wait_for_load_state("networkidle")
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")


def different_pixels(one: Image.Image, other: Image.Image) -> int:
    """How many pixels are not the same; what one picture lacks is different."""
    size = tuple(map(max, one.size, other.size))
    grown = [Image.new("RGB", size, "magenta") for _ in range(2)]
    for picture, ground in zip((one, other), grown, strict=True):
        ground.paste(picture)
    return int((np.asarray(ImageChops.difference(*grown)).max(axis=2) > LEVELS).sum())


def save_beside(one: Image.Image, other: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    both = Image.new("RGB", (one.width + other.width + 10, max(one.height, other.height)), "magenta")
    both.paste(one)
    both.paste(other, (one.width + 10, 0))
    both.save(path)


def compared(before: dict[str, bytes], after: dict[str, bytes], out: Path) -> int:
    """Print a line for each picture; returns how many differ or are on one side alone."""
    faults = 0
    for name in sorted({*before, *after}):
        if name not in before or name not in after:
            told = "only after" if name in after else "gone"
        else:
            one, other = (Image.open(io.BytesIO(side[name])).convert("RGB") for side in (before, after))
            count = different_pixels(one, other)
            told = f"{count} pixels differ" if count else "same"
            if count:
                save_beside(one, other, out / f"{re.sub('[^a-zA-Z0-9.]+', '-', name)}.png")
        faults += told != "same"
        print(f"{told:<22}{name}")
    print(f"{len({*before, *after})} pictures, {faults} of them not the same")
    return faults


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("before", type=Path)
    options.add_argument("after", type=Path)
    options.add_argument("--out", type=Path, required=True)
    options.add_argument("--served", type=Path, nargs=2, metavar="TREE", help="also draw what these serve")
    asked = options.parse_args()
    sides: list[dict[str, bytes]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for side, folder in enumerate((asked.before, asked.after)):
            drawn = dict(pictures(browser, folder))
            if asked.served:
                drawn |= served_pictures(browser, folder.absolute(), asked.served[side].absolute())
            sides.append(drawn)
        browser.close()
    sys.exit(bool(compared(*sides, asked.out)))


if __name__ == "__main__":
    main()
