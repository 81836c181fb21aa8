"""`medistill serve` by the code of a tree, and what it answers to the same requests."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TOKEN = "only-for-what-is-compared-here"
ASKED: dict[str, tuple[str, Any]] = {
    "page": ("/", None),
    "docs": ("/docs", None),
    "docs-style": ("/docs.css", None),
    "schema": ("/openapi.json", None),
    "about": ("/v1/about", None),
    "ready": ("/readyz", None),
    "embed-text": ("/v1/embed/text", {"texts": ["No edema.", "Large left pleural effusion."]}),
    "search-text": ("/v1/search", {"text": "left pleural effusion", "k": 12}),
    "search-filtered": (
        "/v1/search",
        {"text": "edema", "per_patient": False, "filters": {"views": ["PA"], "labels": {"edema": 1}}},
    ),
    "zero-shot": ("/v1/zero-shot", {"of": "CASE", "findings": ["edema", "left effusion", "rib notching"]}),
    "search-image": ("/v1/search", {"of": "CASE", "text": "nodule", "weight": 0.7}),
    "heat-map": ("/v1/heatmap", {"of": "CASE", "text": "left pleural effusion"}),
    "case-image": ("/v1/cases/CASE/image", None),
    "embed-image": ("/v1/embed/image", Path("files/csv/films/7.png")),
    "embed-dicom": ("/v1/embed/image", Path("files/dicom/files/0/0_0")),
    "refused-page": ("/nowhere", None),
    "refused-case": ("/v1/cases/none/image", None),
    "refused-form": ("/v1/search", {"text": 5, "k": "many"}),
    "refused-nothing": ("/v1/search", {}),
    "refused-image": ("/v1/images", Path("files/key")),
    "refused-filter": ("/v1/search", {"text": "edema", "filters": {"labels": {"unheard of": 1}}}),
}
"""By name: a path and what is sent there, JSON or a file; CASE stands for the first hit of `search-text`."""


@contextmanager
def served(environment: Mapping[str, str], folder: Path) -> Generator[str]:
    """The address of a server of the quickstart's model and the index in `folder`."""
    words = ["serve", "quickstart/run", "--index", "index", "--port", "0", "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "medistill", *words],
        cwd=folder,
        env={**environment, "MEDISTILL_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(60)


def write_answers(environment: Mapping[str, str], out: Path) -> None:
    """A file for each request: status, headers and body."""
    out.mkdir()
    with served(environment, Path.cwd()) as url:
        case = ""
        for name, (path, sent) in ASKED.items():
            body = sent.read_bytes() if isinstance(sent, Path) else sent and json.dumps(sent)
            if isinstance(body, str):
                body = body.replace('"CASE"', json.dumps({"case": case})).encode()
            answer = answered(url.partition("/#")[0] + path.replace("CASE", case), body)
            if name == "search-text":
                case = json.loads(answer.rpartition(b"\n\n")[2])["hits"][0]["case"]
            (out / f"{name}.txt").write_bytes(answer)


def answered(url: str, body: bytes | None) -> bytes:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    if body is not None:
        headers["Content-Type"] = "application/json" if body[:1] == b"{" else "application/octet-stream"
    request = urllib.request.Request(url, body, headers)
    try:
        answer = urllib.request.urlopen(request, timeout=120)
    except urllib.error.HTTPError as error:
        answer = error
    told = [f"{name.lower()}: {value}" for name, value in answer.headers.items() if name.lower() != "date"]
    return "\n".join([f"status {answer.status}", *sorted(told), "", ""]).encode() + answer.read()
