import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import pytest

from medistill.data.image import encode_image
from medistill.errors import CallError
from medistill.serve.app.door.guard import allowed_hosts, host_name
from medistill.serve.app.server import TOKEN as VARIABLE
from medistill.serve.app.server import is_loopback, token_for
from tests.dicoms import dicom
from tests.serve.app.conftest import SMALL, TOKEN, serving
from tests.serve.app.hostile import PATIENT, raw_answer
from tests.serve.conftest import film


def test_every_answer_tells_browsers_to_keep_it_here(client):
    for path in ("/", "/docs", "/v1/about", "/nowhere", "/v1/cases/0123456789abcdef/image"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        assert "server" not in headers
        assert (headers.get("Cache-Control") == "no-store") == path.startswith("/v1")


def test_a_page_of_our_own_may_ask(client, server):
    ours = {"Origin": f"http://127.0.0.1:{server.port}", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/v1/search", json={"text": "a"}, headers=ours).status_code == 200
    other_port = {"Origin": "http://127.0.0.1:1"}
    assert client.post("/v1/search", json={"text": "a"}, headers=other_port).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8000", "[::1]:8000"])
def test_loopback_names_are_known(client, host):
    assert client.get("/v1/about", headers={"Host": host}).status_code == 200


def test_hosts_are_told_apart_by_name_alone():
    assert allowed_hosts("10.0.0.5", ("Search.Example",)) >= {"10.0.0.5", "search.example", "::1"}
    assert host_name("[fe80::1]:80") == "fe80::1"
    assert host_name("a@127.0.0.1") != "a"
    assert host_name("[") == ""


def test_phantoms_on_loopback_ask_for_no_token(loader):
    with serving(loader(), token=None, phantoms=True) as running:
        assert running.client.get("/v1/about").json()["token_required"] is False
        assert running.client.post("/v1/search", json={"text": "a"}).status_code == 200


def test_a_client_that_asks_too_often_is_told_to_wait(loader):
    limits = replace(SMALL, requests_per_second=0.5, burst_seconds=4.0)
    with serving(loader(), limits=limits) as running:
        answers = [running.client.get("/v1/about") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 1 <= int(answers[2].headers["Retry-After"]) <= 2
        assert running.client.get("/healthz").status_code == 200


def test_a_connection_too_many_is_told_to_wait(loader):
    with serving(loader(), limits=replace(SMALL, connections=2)) as running:
        assert running.client.get("/healthz").status_code == 200
        with httpx.Client(base_url=running.client.base_url) as second:
            assert second.get("/healthz").status_code == 200
            assert raw_answer(running.port, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 503
        assert running.client.get("/healthz").status_code == 200


def test_full_queues_answer_503_and_when_to_come_back(loader, png):
    limits = replace(SMALL, uploads=0, texts_waiting=0, images_waiting=0, maps_waiting=0, searches_waiting=0)
    with serving(loader(limits), limits=limits) as running:
        client = running.client
        for answer in (
            client.post("/v1/images", content=png, headers={"Content-Type": "image/png"}),
            client.post("/v1/embed/text", json={"texts": ["a"]}),
            client.post("/v1/search", json={"text": "a"}),
            client.post("/v1/search", json={"of": {"case": _some_case(running)}}),
            client.get(f"/v1/cases/{_some_case(running)}/image"),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.headers["Retry-After"] == "1"


def test_an_index_that_takes_its_time_holds_up_nobody_else(server, client, monkeypatch):
    """One in a database may take seconds; a look into it from the event loop would stop all answers."""
    asked, answered = threading.Event(), threading.Event()

    def slow(_name):
        asked.set()
        assert answered.wait(30)

    monkeypatch.setattr(server.service.loaded.index, "case", slow)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(client.get, "/v1/cases/0123456789abcdef/image")
        assert asked.wait(30)
        assert client.get("/healthz", timeout=10).status_code == 200
        answered.set()
        assert waiting.result().status_code == 404


def _some_case(running) -> str:
    index = running.service.loaded.index
    return index.search(running.service.loaded.known.validation.images[0], 1)[0].case.id


def test_an_upload_that_kills_its_process_costs_itself_alone(server, client, png, monkeypatch):
    from medistill.serve.app import served
    from tests.serve.app.dying import die

    monkeypatch.setattr(served, "parse", die)
    send = {"content": png, "headers": {"Content-Type": "image/png"}}
    answer = client.post("/v1/images", **send)
    assert (answer.status_code, answer.json()["error"]) == (422, "the process that read it crashed")
    monkeypatch.undo()
    assert client.post("/v1/images", **send).status_code == 200


def test_a_fault_of_ours_is_told_without_its_words(server, client, monkeypatch, caplog):
    async def fail(self, texts):
        raise KeyError(PATIENT)

    monkeypatch.setattr(type(server.service.loaded.lanes), "texts", fail)
    with caplog.at_level(logging.DEBUG):
        answer = client.post("/v1/embed/text", json={"texts": [PATIENT]})
    assert answer.status_code == 500
    assert set(answer.json()) == {"error"}
    assert "unexpected KeyError" in caplog.text and "test_guard.py" in caplog.text
    assert PATIENT not in caplog.text + answer.text


def test_nothing_of_a_patient_reaches_the_log(client, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # the client's own
        logging.getLogger(name).setLevel(logging.WARNING)
    file = dicom(film(1, 0, 3), PatientID="QRSTUV-77", PatientName="Zyxwvu^Qrstuv")
    sent = client.post("/v1/images", content=file, headers={"Content-Type": "application/dicom"}).json()
    client.get(f"/v1/images/{sent['image']}/pixels", params={"name": PATIENT})
    client.post(f"/v1/search?q={PATIENT}", json={"text": PATIENT, "of": {"image": sent["image"]}})
    client.post("/v1/zero-shot", json={"of": {"image": sent["image"]}, "findings": [PATIENT]})
    client.post("/v1/heatmap", json={"of": {"image": sent["image"]}, "text": PATIENT})
    client.post("/v1/embed/text", json={"texts": [PATIENT]})
    client.post("/v1/search", json={PATIENT: 1})
    client.get(f"/v1/cases/{PATIENT.replace(' ', '-')}/image")
    client.get(f"/{PATIENT}")
    client.request(PATIENT.split()[0], "/v1/about")
    client.post("/v1/images", content=PATIENT.encode(), headers={"X-File-Name": PATIENT})
    client.post("/v1/images", content=file[:-20], headers={"Content-Type": "application/dicom"})
    logged = caplog.text + "".join(capfd.readouterr())
    assert "POST /v1/search 200" in logged and "GET /v1/images/{image}/pixels 200" in logged
    for secret in (*PATIENT.split(), "QRSTUV-77", TOKEN, sent["image"], "?"):
        assert secret not in logged


def test_the_interface_is_described_with_all_its_errors(client):
    schema = client.get("/openapi.json").json()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert {"401", "413", "429", "503"} <= set(operation["responses"]), path
    page = client.get("/docs").text
    assert "/v1/heatmap" in page and "<script" not in page and "https://" not in page
    assert json.dumps(schema)


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)],
)
def test_only_this_machine_reaches_loopback(host, is_local):
    assert is_loopback(host) is is_local


def test_a_token_is_always_asked_for_except_for_phantoms_on_loopback(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert token_for("127.0.0.1", phantoms=True) is None
    for host, phantoms in (("127.0.0.1", False), ("0.0.0.0", True)):
        tokens = {token_for(host, phantoms=phantoms) for _ in range(2)}
        assert len(tokens) == 2 and min(len(token or "") for token in tokens) >= 32


def test_a_chosen_token_is_taken_from_the_environment_and_left_to_no_child(monkeypatch):
    import os

    monkeypatch.setenv(VARIABLE, TOKEN)
    assert token_for("127.0.0.1", phantoms=True) == TOKEN
    assert VARIABLE not in os.environ
    monkeypatch.setenv(VARIABLE, "short")
    with pytest.raises(CallError, match="16 or more"):
        token_for("127.0.0.1", phantoms=False)


def test_an_image_id_is_of_no_use_after_its_image(server, client):
    data = encode_image(film(0, 0, 1))
    name = client.post("/v1/images", content=data).json()["image"]
    assert client.get(f"/v1/images/{name}/pixels").status_code == 200
    server.service.kept._drop(name)
    assert client.get(f"/v1/images/{name}/pixels").status_code == 404
