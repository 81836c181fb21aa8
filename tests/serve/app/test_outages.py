"""Parts of the server that are lost and come back: requests say so meanwhile, and the log once."""

import logging
import os
import signal
import time
from dataclasses import replace

import pytest

from medistill.errors import CallError, MedistillError
from medistill.serve.app.loading import load_served
from medistill.serve.index.case import Hit
from medistill.serve.index.index import fill, open_index
from medistill.serve.index.table import open_table
from medistill.system import isolated
from tests.serve.app.conftest import SMALL, serving
from tests.serve.index.postgres_server import new_schema
from tests.serve.index.postgres_server import server as database  # noqa: F401 - a fixture

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def running(loader):
    with serving(loader()) as running:
        yield running


def parsers(running) -> list[int]:
    processes = [process._process for process in running.service._pool._processes]
    return [process.pid for process in processes if process is not None]


def warnings_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS])
def test_parsers_that_are_killed_while_idle_cost_no_upload(running, png, number):
    for _ in range(3):
        assert running.client.post("/v1/images", content=png, headers=PNG).status_code == 200
        for pid in parsers(running):
            os.kill(pid, number)
        assert running.client.get("/readyz").status_code == 200
    assert running.client.post("/v1/embed/image", content=png, headers=PNG).status_code == 200


def test_while_no_parser_can_be_started_the_server_is_not_ready(running, png, monkeypatch, caplog):
    def refuse(self):
        raise OSError(12, "Cannot allocate memory")

    assert running.client.get("/readyz").status_code == 200
    monkeypatch.setattr(isolated._SPAWN.Process, "start", refuse)
    for pid in parsers(running):
        os.kill(pid, signal.SIGKILL)
    for _ in range(3):
        answer = running.client.post("/v1/images", content=png, headers=PNG)
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert "processes that read files" in answer.json()["error"]
        assert running.client.get("/readyz").status_code == 503
        assert running.client.post("/v1/search", json={"text": "a"}).status_code == 200
    assert len(warnings_in(caplog)) == 1
    monkeypatch.undo()
    assert running.client.get("/readyz").status_code == 200
    assert running.client.post("/v1/images", content=png, headers=PNG).status_code == 200


ASKS = (
    ("POST", "/v1/search", {"text": "Pleuraerguss"}),
    ("GET", "/v1/cases/{case}/image", None),
    ("POST", "/v1/zero-shot", {"of": {"case": "{case}"}, "findings": ["nodule"]}),
    ("POST", "/v1/heatmap", {"of": {"case": "{case}"}, "text": "nodule"}),
    ("POST", "/v1/search", {"of": {"case": "{case}"}}),
)


def asked(running, case: str) -> list:
    """The answers to everything that looks into the index."""
    answers = []
    for method, path, body in ASKS:
        if body and "of" in body:
            body = {**body, "of": {"case": case}}
        answers.append(running.client.request(method, path.format(case=case), json=body))
    return answers


@pytest.mark.parametrize(
    "error",
    [
        MedistillError("cannot connect to the PostgreSQL server: no server listens there"),
        CallError("the index is no longer there: its tables in schema medistill were removed"),
        OSError(5, "Input/output error", "/somewhere/index"),
        TimeoutError(),
    ],
    ids=["gone", "removed", "unreadable", "slow"],
)
def test_an_index_that_is_lost_is_503_and_a_line_and_comes_back(running, monkeypatch, caplog, error):
    index = running.service.loaded.index
    case = index.search(running.service.loaded.known.validation.images[0], 1)[0].case.id

    def fail(*_asked, **_options):
        raise error

    for name in ("search", "case", "__len__"):
        monkeypatch.setattr(type(index), name, fail)
    for _ in range(2):
        for answer in asked(running, case):
            assert (answer.status_code, set(answer.json())) == (503, {"error"})
            assert "index" in answer.json()["error"] and "/somewhere" not in answer.text
        assert running.client.get("/readyz").status_code == 503
        assert running.client.get("/healthz").status_code == 200
    assert len(warnings_in(caplog)) == 1 and "\n" not in warnings_in(caplog)[0]
    assert "/somewhere" not in caplog.text
    monkeypatch.undo()
    assert {answer.status_code for answer in asked(running, case)} == {200}
    assert running.client.get("/readyz").status_code == 200
    assert len(warnings_in(caplog)) == 1


def test_an_index_that_does_not_answer_holds_nobody_for_ever(loader, monkeypatch):
    limits = replace(SMALL, index_seconds=0.2, look_seconds=0.2)
    with serving(loader(limits), limits=limits) as running:
        index = running.service.loaded.index
        monkeypatch.setattr(type(index), "__len__", lambda self: time.sleep(2) or 1)
        monkeypatch.setattr(type(index), "search", lambda *_asked, **_options: time.sleep(2))
        assert running.client.get("/readyz").status_code == 503
        assert running.client.post("/v1/search", json={"text": "a"}).status_code == 503
        monkeypatch.undo()
        time.sleep(2)
        assert running.client.get("/readyz").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("end", ["stop", "crash"])
def test_a_database_that_goes_away_is_reached_again(
    german,
    index_of_films,
    database,  # noqa: F811
    caplog,
    monkeypatch,
    end,
):
    monkeypatch.chdir(german.corpus.parent)  # a database tells from the working directory where a corpus lies
    address, table = new_schema(database), index_of_films.parent / "table.arrow"
    fill(address, table, kind=None, delete=(), on_progress=lambda *_: None)

    def load():
        return load_served(german.run, open_index(address), SMALL)

    with serving(load) as running:
        case = running.client.post("/v1/search", json={"text": "a"}).json()["hits"][0]["case"]
        assert {answer.status_code for answer in asked(running, case)} == {200}
        assert running.client.get("/readyz").status_code == 200
        getattr(database, end)()
        caplog.clear()
        try:
            for _ in range(2):
                assert {answer.status_code for answer in asked(running, case)} == {503}
                assert running.client.get("/readyz").status_code == 503
            assert len(warnings_in(caplog)) == 1
            assert "Traceback" not in caplog.text and "unexpected" not in caplog.text
        finally:
            database.start()
        assert running.client.get("/readyz").status_code == 200
        assert {answer.status_code for answer in asked(running, case)} == {200}


@pytest.fixture
def emptied(index_of_films, tmp_path):
    """An index of the model whose studies were all deleted."""
    table = index_of_films.parent / "table.arrow"
    fill(tmp_path / "index", table, kind=None, delete=(), on_progress=lambda *_: None)
    studies = tuple(sorted(open_table(table).study_ids()))
    fill(tmp_path / "index", None, kind=None, delete=studies, on_progress=lambda *_: None)
    return tmp_path / "index"


def test_an_empty_index_is_an_index(german, emptied, monkeypatch):
    closed = []
    index = open_index(emptied)
    monkeypatch.setattr(type(index), "close", lambda self: closed.append(self))
    with serving(lambda: load_served(german.run, index, SMALL)) as running:
        about = running.client.get("/v1/about").json()
        assert about["index"]["images"] == 0 and about["index"]["findings"] == ["effusion", "nodule"]
        assert running.client.post("/v1/search", json={"text": "a"}).json() == {"hits": []}
        assert running.client.get("/v1/cases/0123456789abcdef/image").status_code == 404
        filtered = {"text": "a", "filters": {"views": ["PA"]}}
        answer = running.client.post("/v1/search", json=filtered)
        assert (answer.status_code, "the index is empty" in answer.json()["error"]) == (422, True)
        assert running.client.get("/readyz").status_code == 200
        assert running.service.loaded.known is not None  # the corpus it began with is there
    assert closed == [index]


def test_an_index_of_another_model_is_refused_when_it_is_empty(german, emptied, monkeypatch):
    index = open_index(emptied)
    monkeypatch.setattr("medistill.serve.app.loading.model_hash", lambda model: "0" * 64)
    with pytest.raises(CallError, match="is of another model"):
        load_served(german.run, index, SMALL)


@pytest.mark.parametrize("sentences", [30, 80])
def test_a_long_answer_of_long_reports_is_given(running, monkeypatch, sentences):
    """More sentences than the queue of texts holds: 1024."""
    index = running.service.loaded.index
    (hit,) = index.search(running.service.loaded.known.validation.images[0], 1)
    reports = [" ".join(f"Rundherd {report} {i} links." for i in range(sentences)) for report in range(50)]
    hits = [Hit(case=replace(hit.case, text=text), score=0.5) for text in reports]
    monkeypatch.setattr(type(index), "search", lambda *_asked, **_options: hits)
    answer = running.client.post("/v1/search", json={"text": "Rundherd", "k": 50})
    assert answer.status_code == 200, answer.text
    assert [hit["text"] for hit in answer.json()["hits"]] == reports
    assert any(hit["marks"] for hit in answer.json()["hits"])
