"""Clients that are slow, leave, or state two lengths: they cost the others nothing and the log a line."""

import logging
import socket
import struct
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from tests.serve.app.conftest import SMALL, TOKEN, noise_png, serving
from tests.serve.app.hostile import raw_answer

HEAD = f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
UPLOAD = f"POST /v1/images HTTP/1.1\r\n{HEAD}Content-Type: image/png\r\n"
ASK = f"POST /v1/search HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n"


@contextmanager
def connected(port: int, data: bytes):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        yield connection


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(4096).split(b" ", 2)[1])


# What trickles


@pytest.mark.parametrize(
    "begun",
    [
        UPLOAD.encode() + b"Content-Length: 1000000\r\n\r\n",
        UPLOAD.encode() + b"Content-Length: 1000000\r\n\r\n" + bytes(500_000),
        UPLOAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n",
        UPLOAD.replace("images", "embed/image").encode() + b"Content-Length: 1000000\r\n\r\nx",
    ],
    ids=["nothing", "half", "chunked", "embed"],
)
def test_uploads_that_trickle_hold_no_place(server, client, png, begun):
    with ExitStack() as stack:
        for _ in range(3 * SMALL.uploads):
            stack.enter_context(connected(server.port, begun))
        time.sleep(0.3)
        for path in ("/v1/images", "/v1/embed/image"):
            answer = client.post(path, content=png, headers={"Content-Type": "image/png"})
            assert answer.status_code == 200, answer.text


def test_what_has_arrived_of_all_files_is_bounded_and_given_back(loader, png):
    limits = replace(SMALL, arriving_bytes=3_000_000)
    with serving(loader(limits), limits=limits) as running:
        half = UPLOAD.encode() + b"Content-Length: 1900000\r\n\r\n" + bytes(1_400_000)
        whole = {"content": b"\x89PNG\r\n\x1a\n" + bytes(1_000_000), "headers": {"Content-Type": "image/png"}}
        with connected(running.port, half), connected(running.port, half):
            time.sleep(0.5)
            assert running.client.post("/v1/images", content=png).status_code == 200
            answer = running.client.post("/v1/images", **whole)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        time.sleep(0.5)
        assert running.client.post("/v1/images", **whole).status_code == 422  # read, and no image


@pytest.mark.parametrize("ahead", [0, 100_000], ids=["from the start", "after much"])
def test_a_body_that_slows_down_is_ended_long_before_its_time(loader, ahead):
    limits = replace(SMALL, body_seconds=60.0, pause_seconds=1.0, slowest=1000.0)
    with serving(loader(limits), limits=limits) as running:
        began = time.monotonic()
        head = UPLOAD.encode() + b"Content-Length: 1000000\r\n\r\n" + bytes(ahead)
        with connected(running.port, head) as slow:
            slow.settimeout(0.1)
            while time.monotonic() - began < 30:
                slow.sendall(bytes(100))  # as many a second as is the least, but not after much
                try:
                    status = status_of(slow)
                    break
                except TimeoutError:
                    continue
        assert status == 408
        assert time.monotonic() - began < 15


def test_a_body_that_keeps_coming_is_taken(loader):
    limits = replace(SMALL, pause_seconds=1.0, slowest=1000.0)
    data = noise_png(1, 200)
    with serving(loader(limits), limits=limits) as running:

        def slowly():
            for start in range(0, len(data), len(data) // 20):
                yield data[start : start + len(data) // 20]
                time.sleep(0.15)

        assert running.client.post("/v1/images", content=slowly()).status_code == 200


# Who leaves


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


LEFT = {
    "in the head": b"POST /v1/images HTTP/1.1\r\nHost: 127",
    "before the body": UPLOAD.encode() + b"Content-Length: 1000\r\n\r\n",
    "in the body": UPLOAD.encode() + b"Content-Length: 1000\r\n\r\nabc",
    "in a chunk": UPLOAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n10\r\nabc",
    "between chunks": UPLOAD.encode() + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "in JSON": ASK.encode() + b'Content-Length: 1000\r\n\r\n{"text":',
    "in a body nobody reads": b"GET /healthz HTTP/1.1\r\n" + HEAD.encode() + b"Content-Length: 99\r\n\r\nab",
    "before a refusal": UPLOAD.encode() + b"Content-Length: 99999999999\r\n\r\nab",
    "before the answer": ASK.encode() + b'Content-Length: 13\r\n\r\n{"text": "a"}',
    "before a file is read": UPLOAD.encode() + b"Content-Length: 8\r\n\r\n\x89PNG\r\n\x1a\n",
    "before a page": b"GET /assets/page.css HTTP/1.1\r\n" + HEAD.encode() + b"\r\n",
}


@pytest.mark.parametrize("how", ["closes", "resets", "shuts"])
@pytest.mark.parametrize("when", LEFT)
def test_a_client_that_leaves_costs_the_log_a_line(server, client, caplog, when, how):
    caplog.set_level(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with connected(server.port, LEFT[when]) as connection:
        if how == "resets":
            reset(connection)
        if how == "shuts":
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
    time.sleep(0.3)
    assert client.get("/healthz").status_code == 200
    lines = [line for line in caplog.text.splitlines() if "GET /healthz 200" not in line]
    assert len(lines) <= 1, caplog.text
    assert "unexpected" not in caplog.text and "Traceback" not in caplog.text


# Two lengths


@pytest.mark.parametrize(
    "lengths",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "transfer-encoding: CHUNKED\r\ncontent-length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 4\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4, 5\r\n",
    ],
)
@pytest.mark.parametrize(
    "request_line", ["POST /v1/images", "POST /v1/search", "GET /healthz", "GET /", "POST /nowhere"]
)
def test_a_body_of_two_lengths_is_refused_and_nothing_after_it_is_read(server, request_line, lengths):
    smuggled = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    head = f"{request_line} HTTP/1.1\r\n{HEAD}Content-Type: application/json\r\n{lengths}\r\n"
    with connected(server.port, head.encode() + smuggled) as connection:
        answer = b""
        while part := connection.recv(65536):  # until the server closes
            answer += part
    assert answer.split(b" ", 2)[1] in (b"400", b"501")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_chunks_are_not_of_http_1_0(server):
    head = (
        f"POST /v1/search HTTP/1.0\r\n{HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    )
    assert raw_answer(server.port, f"{head}\r\n0\r\n\r\n")[0] == 400


# What is not taken is named


@pytest.mark.parametrize(
    ("path", "kind", "named"),
    [
        ("/v1/images", "text/html", "found text/html"),
        ("/v1/embed/image", "Application/PDF; x=1", "found application/pdf"),
        ("/v1/search", "text/plain; charset=utf-8", "found text/plain"),
        ("/v1/zero-shot", "application/x-www-form-urlencoded", "found application/x-www-form-urlencoded"),
        ("/v1/heatmap", "multipart/form-data; boundary=x", "found multipart/form-data"),
        ("/v1/search", "", "none was stated"),
        ("/v1/search", "Zyxwvu Qrstuv", "found no type that can be read"),
        ("/v1/images", "a/<script>", "found no type that can be read"),
        ("/v1/images", "image/gif/../x", "found no type that can be read"),
    ],
)
def test_a_type_that_is_not_taken_is_named(client, path, kind, named):
    answer = client.post(path, content=b"{}", headers={"Content-Type": kind} if kind else {})
    assert answer.status_code == 415
    assert answer.json()["error"].endswith(named) and "expected a" in answer.json()["error"]


@pytest.mark.parametrize(
    ("start", "named"),
    [
        (b"GIF89a", "but a GIF image"),
        (b"%PDF-1.7", "but a PDF"),
        (b"II*\0", "but a TIFF image"),
        (b"PK\x03\x04", "but a ZIP archive"),
        (b"\x1f\x8b\x08", "but a gzip archive"),
        (b"<!doctype html><p>", "but an HTML page"),
        (b"{", "not a PNG, JPEG or DICOM image"),
    ],
)
def test_a_file_that_is_no_image_is_named(client, start, named):
    for path in ("/v1/images", "/v1/embed/image"):
        answer = client.post(path, content=start + bytes(200))
        assert answer.status_code == 415
        assert answer.json()["error"].startswith("not a PNG, JPEG or DICOM image")
        assert answer.json()["error"].endswith(named)


@pytest.mark.parametrize("stated", [True, False])
def test_a_file_that_is_too_large_is_called_a_file(client, stated):
    def parts():
        yield bytes(SMALL.upload_bytes + 1)

    answer = client.post("/v1/images", content=bytes(SMALL.upload_bytes + 1) if stated else parts())
    assert answer.status_code == 413
    assert answer.json()["error"] == "the file is larger than 2,000,000 bytes, the most this server takes"
    answer = client.post(
        "/v1/search", content=bytes(SMALL.json_bytes + 1), headers={"Content-Type": "application/json"}
    )
    assert answer.json()["error"] == "the body is larger than 60,000 bytes, the most this server takes"
