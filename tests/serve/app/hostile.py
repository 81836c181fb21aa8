"""Requests of an attacker, and how each must be refused: used in the test's process and on a real server."""

import io
import pickle
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from urllib.parse import quote

import httpx
import numpy as np
from pydicom.uid import DeflatedExplicitVRLittleEndian

from tests.dicoms import dicom

TRAVERSALS = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "/etc/passwd",
    "....//....//etc/passwd",
)
JSON = {"Content-Type": "application/json"}
PATIENT = "Zyxwvu Qrstuv"
"""A name that must appear in no log."""


class Attack(NamedTuple):
    name: str
    send: Callable[[httpx.Client], httpx.Response]
    statuses: tuple[int, ...]


def attacks() -> Iterator[Attack]:
    yield from _files()
    yield from _bodies()
    yield from _paths()
    yield from _senders()


def _files() -> Iterator[Attack]:
    for name, data, statuses in (
        ("a PNG that claims 900 million pixels", png_bomb(30_000), (422,)),
        ("a PNG of more pixels than the limit", png_bomb(2_100), (422,)),
        ("a PNG with a text chunk that inflates to 200 MB", text_bomb(), (422, 200)),
        ("a deflated DICOM that inflates to 200 MB", dicom_bomb(), (422,)),
        ("a zip file", zip_file(), (415,)),
        ("a pickle", pickle.dumps({"a": np.zeros(3)}), (415,)),
        ("a PNG of nothing but its mark", b"\x89PNG\r\n\x1a\n", (422,)),
        ("a JPEG cut short", b"\xff\xd8\xff\xe0" + bytes(50), (422,)),
        ("a DICOM of nothing but its mark", bytes(128) + b"DICM", (422,)),
        ("nothing", b"", (415, 422)),
        ("a web page", f"<!doctype html><title>{PATIENT}</title>".encode(), (415,)),
    ):
        for path in ("/v1/images", "/v1/embed/image"):
            yield Attack(f"{name} to {path}", _poster(path, data), statuses)


def _bodies() -> Iterator[Attack]:
    for path in ("/v1/embed/text", "/v1/zero-shot", "/v1/search", "/v1/heatmap"):
        for name, data, statuses in (
            ("broken JSON", b'{"texts": [', (400,)),
            ("no JSON", PATIENT.encode(), (400,)),
            ("bytes that are no UTF-8", b'{"text": "\xff\xfe"}', (400, 422)),
            ("a list", b"[]", (422,)),
            ("null", b"null", (422,)),
            ("deep nesting", b"[" * 20_000 + b"]" * 20_000, (400, 422)),
            ("a number without end", b'{"k": ' + b"9" * 20_000 + b"}", (400, 422)),
            ("half a character", b'{"texts": ["\\ud800"], "text": "\\ud800"}', (422,)),
            ("more than a request may hold", b" " * 100_000, (413,)),
        ):
            yield Attack(f"{name} to {path}", _poster(path, data, "application/json"), statuses)
        for kind in (
            "text/plain",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "",
        ):
            yield Attack(f"{kind or 'no type'} to {path}", _poster(path, b"{}", kind), (415,))
    for kind in ("text/html", "multipart/form-data; boundary=x", "application/json"):
        yield Attack(f"a file of type {kind}", _poster("/v1/images", png_bomb(8), kind), (415,))
    yield Attack(
        "a compressed body",
        lambda c: c.post("/v1/images", content=zlib.compress(b""), headers={"Content-Encoding": "gzip"}),
        (415,),
    )


def _paths() -> Iterator[Attack]:
    for text in TRAVERSALS:
        for path in ("/v1/images/{}/pixels", "/v1/cases/{}/image", "/assets/{}", "/{}", "/v1/{}"):
            yield Attack(f"GET {path} {text}", _getter(path.format(text)), (404, 422))
        for form in (
            '{{"of": {{"case": "{0}"}}, "findings": ["a"]}}',
            '{{"of": {{"image": "{0}"}}, "findings": ["a"]}}',
        ):
            body = form.format(text).encode()
            yield Attack(
                f"zero-shot of {text}", _poster("/v1/zero-shot", body, JSON["Content-Type"]), (404, 422)
            )
            body = body.replace(b'"findings": ["a"]', b'"text": "a"')
            for path in ("/v1/search", "/v1/heatmap"):
                yield Attack(f"{path} of {text}", _poster(path, body, JSON["Content-Type"]), (404, 422))
        for name in ("views", "sexes", "sources", "labels"):
            body = f'{{"text": "a", "filters": {{"{name}": ["{text}"]}}}}'.encode()
            yield Attack(f"{name} {text}", _poster("/v1/search", body, JSON["Content-Type"]), (200, 422))
        body = f'{{"text": "a", "filters": {{"dates": ["{text}", null]}}}}'.encode()
        yield Attack(f"dates {text}", _poster("/v1/search", body, JSON["Content-Type"]), (422,))


def _senders() -> Iterator[Attack]:
    def about(path: str, status: int, **headers: str) -> Attack:
        names = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}
        return Attack(f"{path} with {names}", lambda c: c.get(path, headers=names), (status,))

    case = "/v1/cases/0123456789abcdef/image"
    yield about(case, 401, Authorization="")
    yield about(case, 401, Authorization="Bearer wrong")
    yield about(case, 401, Authorization=f"Basic {PATIENT}")
    yield about(case, 401, Authorization="Bearer \xe4\xf6")
    yield about("/", 421, Host="evil.example")
    yield about("/v1/about", 421, Host="evil.example:8000")
    yield about("/v1/about", 421, Host="127.0.0.1.evil.example")
    yield about("/v1/about", 421, Host="[::1")
    yield about("/v1/about", 403, Origin="http://evil.example")
    yield about("/v1/about", 403, Origin="null")
    yield about("/v1/about", 403, Sec_Fetch_Site="cross-site")
    yield Attack(
        "a post of another site",
        lambda c: c.post("/v1/search", json={"text": "a"}, headers={"Origin": "http://evil.example"}),
        (403,),
    )
    yield Attack("a method", lambda c: c.request("DELETE", case), (405,))
    yield Attack("a method of no one", lambda c: c.request("QRSTUV", "/v1/search"), (405,))


def _poster(path: str, data: bytes, kind: str = "image/png") -> Callable[[httpx.Client], httpx.Response]:
    headers = {"Content-Type": kind} if kind else {}
    return lambda client: client.post(path, content=data, headers=headers)


def _getter(path: str) -> Callable[[httpx.Client], httpx.Response]:
    # As it is written: httpx would take the dots out.
    def send(client: httpx.Client) -> httpx.Response:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=quote(path, safe="/%.").encode())
        return client.send(request)

    return send


def png_bomb(side: int) -> bytes:
    """A PNG file of black squares, smaller by a thousand times."""
    rows = zlib.compressobj(9)
    row = bytes(1 + side)
    data = b"".join([*(rows.compress(row) for _ in range(side)), rows.flush()]) if side < 5000 else b"x"
    return _png(side, data)


def text_bomb() -> bytes:
    packed = zlib.compressobj(9)
    data = b"".join(packed.compress(bytes(1_000_000)) for _ in range(200)) + packed.flush()
    return _png(4, zlib.compress(bytes(20)), _chunk(b"zTXt", b"Comment\0\0" + data))


def _png(side: int, data: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header) + extra + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def dicom_bomb() -> bytes:
    whole = dicom(np.zeros((8, 8), np.uint16), syntax=DeflatedExplicitVRLittleEndian)
    head = whole[: 144 + int.from_bytes(whole[140:144], "little")]
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    element = b"\x09\0\x10\x10UN\0\0" + (200_000_000).to_bytes(4, "little")
    return (
        head
        + stream.compress(element)
        + b"".join(stream.compress(bytes(1_000_000)) for _ in range(200))
        + stream.flush()
    )


def zip_file() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("film.png", b"x")
    return file.getvalue()


def raw_answer(port: int, head: str, parts: Iterable[bytes] = (), *, wait: float = 20.0) -> tuple[int, int]:
    """Status of the answer to a request written by hand, and how many bytes of its body could be sent."""
    sent = 0
    with socket.create_connection(("127.0.0.1", port), timeout=wait) as connection:
        connection.sendall(head.encode())
        try:
            for part in parts:
                connection.sendall(part)
                sent += len(part)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused while we were still sending
        return int(connection.recv(4096).split(b" ", 2)[1]), sent


def zeros(count: int) -> Iterator[bytes]:
    """A body of zeros, a mebibyte at a time."""
    return (bytes(2**20) for _ in range(count))


def chunked(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same without a stated length."""
    for part in parts:
        yield b"%x\r\n%s\r\n" % (len(part), part)


def trickle(seconds: float) -> Iterator[bytes]:
    """A byte now and then."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield b"x"
        time.sleep(0.1)
