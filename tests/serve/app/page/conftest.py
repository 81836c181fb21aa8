"""A served phantom model, and its page in Chromium."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from medistill.data.prepare import prepare
from medistill.data.sources import PhantomSource
from medistill.pretrain import pretrain
from tests.cli.test_cli import call
from tests.conftest import tiny_recipe
from tests.serve.app.page.browser import TOKEN


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """`medistill serve` of a small model of phantoms, as a process of its own; it asks for a token."""
    home = tmp_path_factory.mktemp("served")
    corpus, run, table, index = (home / name for name in ("corpus", "run", "table.arrow", "index"))
    prepare(PhantomSource(count=400), corpus, val=0.4)
    pretrain(tiny_recipe(size=64, epochs=1, validate_every=1.0), corpus, run, watch=lambda *_: None)
    assert call("embed", run, "--data", corpus, "--out", table) == 0
    assert call("index", table, "--out", index) == 0
    command = [sys.executable, "-m", "medistill", "serve", run, "--index", index, "--port", "0", "--json"]
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "MEDISTILL_TOKEN": TOKEN},
        cwd=home,
    )
    try:
        yield SimpleNamespace(url=printed_url(process), corpus=corpus)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture
def visit(chromium, served):
    """Opens the page; at the end, no error was logged and no request was tried to another host."""
    contexts, outside, faults = [], [], []
    home = urlsplit(served.url)

    def guard(route):
        if urlsplit(route.request.url)[:2] == home[:2]:
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    def open_page(width=1280, scheme="light", fragment=None, expect_faults=False):
        touch = width < 900
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch
        )
        contexts.append(context)
        context.route("**/*", guard)
        page = context.new_page()
        page.set_default_timeout(60_000)
        if not expect_faults:
            page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(served.url if fragment is None else served.url.partition("#")[0] + fragment)
        page.wait_for_selector("body[data-ready]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert outside == []
    assert faults == []


def printed_url(process) -> str:
    """Of the line of JSON that `serve --json` prints once it is ready."""
    return json.loads(process.stdout.readline())["url"]
