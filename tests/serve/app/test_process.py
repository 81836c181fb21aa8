"""The command as a process: what it prints, what it leaves, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from tests.serve.app.conftest import TOKEN
from tests.serve.app.hostile import PATIENT, attacks, chunked, raw_answer, trickle, zeros

ROOT = Path(__file__).parents[3]
BENCHMARK = ROOT / "benchmarks" / "serve.py"


def files_in(*folders: Path) -> dict[str, int]:
    """Every file with its size."""
    return {str(path): path.stat().st_size for f in folders for path in f.rglob("*") if path.is_file()}


@pytest.fixture
def process(german, index_of_films, tmp_path):
    """A server in folders of its own; its log is read when it has ended."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("serve_process.py")), str(german.run)]
    command += ["--index", str(index_of_films), "--port", "0", "--json"]
    environment = os.environ | {"TMPDIR": str(temporary), "MEDISTILL_TOKEN": TOKEN}
    log = (tmp_path / "log").open("w+")
    running = subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
    )
    try:
        told = json.loads(running.stdout.readline())
        url = told["url"].partition("#")[0]
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            port = int(url.rsplit(":", 1)[1].strip("/"))
            yield SimpleNamespace(
                client=client,
                port=port,
                told=told,
                process=running,
                log=tmp_path / "log",
                folders=(home, temporary, german.run, german.corpus, index_of_films),
            )
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
        log.close()


@pytest.mark.slow
def test_an_attacked_server_lives_on_writes_nothing_and_ends_in_peace(process):
    client, head = process.client, f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
    assert process.told["token_required"] and process.told["url"].endswith(f"#token={TOKEN}")
    client.post("/v1/search", json={"text": "a"})
    before = files_in(*process.folders)
    wrong = [
        (attack.name, status)
        for attack in attacks()
        if (status := attack.send(client).status_code) not in attack.statuses
    ]
    assert not wrong
    upload = f"POST /v1/images HTTP/1.1\r\n{head}Content-Type: image/png\r\n"
    assert raw_answer(process.port, f"{upload}Content-Length: 2147483648\r\n\r\n", zeros(2048))[0] == 413
    assert (
        raw_answer(process.port, f"{upload}Transfer-Encoding: chunked\r\n\r\n", chunked(zeros(2048)))[0]
        == 413
    )
    assert raw_answer(process.port, f"{upload}Content-Length: 1000\r\n\r\n", trickle(20))[0] == 408
    assert client.get("/readyz").status_code == 200
    assert files_in(*process.folders) == before
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(30) == 0
    log = process.log.read_text()
    assert "Traceback" not in log and "unexpected" not in log
    assert TOKEN not in log
    assert not any(word in log for word in PATIENT.split())


SLOW = {
    "an upload": ("POST /v1/images", "Content-Type: image/png\r\nContent-Length: 1000000\r\n", b"x"),
    "chunks": (
        "POST /v1/embed/image",
        "Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n",
        b"1\r\nx\r\n",
    ),
    "JSON": ("POST /v1/search", "Content-Type: application/json\r\nContent-Length: 1000\r\n", b" "),
    "a body nobody reads": ("GET /readyz", "Content-Length: 1000\r\n", b"x"),
    "a head": ("GET /", "X-Slow: ", b"x"),
}


def test_a_signal_ends_slow_clients_in_a_time_that_is_bounded(process):
    """Requests under way have ten seconds; the limits of this process would give these more."""
    connections = []
    for request, headers, byte in SLOW.values():
        end = "" if request == "GET /" else "\r\n"
        head = f"{request} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n{headers}{end}"
        connection = socket.create_connection(("127.0.0.1", process.port), timeout=30)
        connection.sendall(head.encode() + byte)
        connections.append((connection, byte))
    began = time.monotonic()
    process.process.send_signal(signal.SIGTERM)
    answers = dict.fromkeys(SLOW, b"")
    for name, (connection, byte) in zip(SLOW, connections, strict=True):
        with connection, suppress(OSError):
            connection.settimeout(0.2)
            while process.process.poll() is None and time.monotonic() - began < 25:
                connection.sendall(byte)
                with suppress(TimeoutError):
                    part = connection.recv(65536)
                    answers[name] += part
                    if not part or answers[name].partition(b"\r\n\r\n")[2]:  # the body may come by itself
                        break
    assert process.process.wait(30) == 0
    assert time.monotonic() - began < 20
    log = process.log.read_text()
    assert "Traceback" not in log and "unexpected" not in log
    assert b" 503 " in answers["an upload"] and b"stopping" in answers["an upload"]
    assert len(log.splitlines()) < 20


@pytest.mark.slow
def test_under_load_nothing_fails_but_what_is_put_off_and_memory_stays(german, index_of_films, tmp_path):
    command = [sys.executable, str(BENCHMARK), "--clients", "16", "--seconds", "12", "--json"]
    command += ["--model", str(german.run), "--index", str(index_of_films)]
    told = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert set(told["statuses"]) <= {"200", "429", "503"}
    assert len(told["endpoints"]) == 6
    assert told["memory_growth"] < 0.15
    assert told["exit_status"] == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_server_comes_back_with_every_entry(german, index_of_films, tmp_path):
    command = [sys.executable, str(BENCHMARK), "--clients", "8", "--seconds", "4", "--kill", "--json"]
    command += ["--model", str(german.run), "--index", str(index_of_films)]
    told = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert told["entries"] == told["entries_after_kill"] == 160
    assert told["same_entries"]
    assert told["sampled_served"] == told["sampled"]
