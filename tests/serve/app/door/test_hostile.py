"""What an attacker may send: each is refused, and the server lives on."""

import logging
from dataclasses import replace

import pytest

from tests.serve.app.conftest import SMALL, TOKEN, serving
from tests.serve.app.hostile import PATIENT, attacks, chunked, raw_answer, trickle, zeros

ATTACKS = list(attacks())
HEAD = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def impatient(loader):
    """A server that waits for a second: too short for whoever asks in earnest on a busy machine."""
    with serving(loader(), limits=replace(SMALL, body_seconds=1.0, head_seconds=1.0)) as running:
        yield running


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_each_is_refused_with_one_line(client, attack, caplog):
    with caplog.at_level(logging.DEBUG, "medistill"):
        answer = attack.send(client)
    assert answer.status_code in attack.statuses, answer.text
    if answer.status_code != 200:
        told = answer.json()["error"]
        assert answer.headers["content-type"] == "application/json"
        assert "\n" not in told and "Traceback" not in told and "/work" not in told
    assert "unexpected" not in caplog.text
    assert client.get("/readyz").status_code == 200


def test_a_body_is_refused_by_the_length_it_states(server):
    status, sent = raw_answer(
        server.port, f"POST /v1/images HTTP/1.1\r\n{HEAD}Content-Length: 2147483648\r\n\r\n"
    )
    assert (status, sent) == (413, 0)


def test_a_body_that_states_no_length_is_refused_when_it_passes_the_limit(server):
    head = f"POST /v1/images HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
    status, sent = raw_answer(server.port, head, chunked(zeros(2048)))
    assert status == 413
    assert sent < 60 * 2**20  # of 2 GB; what is above the limit lay in the buffers of the system


def test_a_body_nobody_asked_for_is_not_read_to_its_end(server):
    head = f"GET /healthz HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n"
    status, sent = raw_answer(server.port, head, chunked(zeros(2048)))
    assert status == 200
    assert sent < 60 * 2**20


def test_a_json_body_is_bounded_too(server):
    head = f"POST /v1/search HTTP/1.1\r\n{HEAD.replace('image/png', 'application/json')}"
    status, _ = raw_answer(server.port, f"{head}Transfer-Encoding: chunked\r\n\r\n", chunked(zeros(64)))
    assert status == 413


@pytest.mark.parametrize("path", ["/v1/images", "/v1/search"])
def test_a_body_that_trickles_in_runs_out_of_time(impatient, path):
    kind = HEAD if path == "/v1/images" else HEAD.replace("image/png", "application/json")
    head = f"POST {path} HTTP/1.1\r\n{kind}Content-Length: 1000\r\n\r\n"
    assert raw_answer(impatient.port, head, trickle(20))[0] == 408


def test_a_head_that_trickles_in_runs_out_of_time(impatient):
    assert raw_answer(impatient.port, "GET / HTTP/1.1\r\nHost: ", trickle(20))[0] == 408


def test_a_request_that_is_no_http_is_refused(server):
    assert raw_answer(server.port, f"{PATIENT}\r\n\r\n")[0] == 400


def test_two_hosts_are_none(server):
    assert raw_answer(server.port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n")[0] == 400
