"""The page and its files, without a browser."""

import re

import pytest


def test_the_page_and_every_file_it_names_are_answered(client):
    page = client.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    names = re.findall(r'(?:href|src)="(assets/[^"]+)"', page.text)
    assert len(names) > 4
    kinds = {client.get(f"/{name}").headers["content-type"].partition(";")[0] for name in names}
    assert kinds == {"text/css", "text/javascript", "image/svg+xml"}


@pytest.mark.parametrize("name", ["nothing.js", "", "../app.py", "..%2fapp.py", "%2e%2e/app.py"])
def test_no_other_file_is_answered(client, name):
    assert client.get(f"/assets/{name}").status_code == 404
