"""Writes docs/serve-wide.png and docs/serve-narrow.png: the page of `medistill serve` on phantoms.

Example: medistill serve & python docs/serve_pictures.py http://127.0.0.1:8000/
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from medistill.data.phantom import phantom_studies

DOCS = Path(__file__).parent
FINDINGS = ("left effusion", "edema", "pacemaker", "rib notching")


def phantom() -> bytes:
    """A frontal phantom with a left effusion, at a size that is good to look at."""
    studies = phantom_studies(400, seed=11, size=512)
    shown = next(
        study
        for study in studies
        if study.labels.get("left effusion") == 1 and study.images[0].view in ("PA", "AP")
    )
    return shown.images[0].image


def show(page: Page, url: str) -> None:
    """A radiograph with its findings, where one of them points, and past cases."""
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    page.set_input_files("#file", {"name": "film.png", "mimeType": "image/png", "buffer": phantom()})
    page.wait_for_selector("#view:visible")
    for finding in FINDINGS:
        page.fill("#finding", finding)
        page.press("#finding", "Enter")
        page.locator("#scores > li").filter(has_text=finding).locator(".word").wait_for()
    page.get_by_role("button", name="Show where: left effusion").click()
    page.locator("#heat-said:not(:empty)").wait_for()
    page.locator("#cases-state", has_text="marked: left effusion").wait_for()
    page.locator("#hits img").nth(9).wait_for()
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")


def save(png: bytes, name: str) -> None:
    """With 256 colors, dithered, which is a third of the bytes."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    palette = image.quantize(256, method=Image.Quantize.MAXCOVERAGE)
    image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(DOCS / name, optimize=True)
    print(DOCS / name, (DOCS / name).stat().st_size // 1000, "kB")


def main(url: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        wide = browser.new_page(viewport={"width": 1280, "height": 1000}, color_scheme="light")
        show(wide, url)
        save(wide.screenshot(), "serve-wide.png")
        narrow = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme="dark", has_touch=True)
        show(narrow, url)
        save(
            narrow.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 390, "height": 1500}),
            "serve-narrow.png",
        )
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
