"""How much of the server one request, one client and all of them together may take."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is above a limit is refused: 413 or 422 for a request, 429 for a client, 503 for all together."""

    upload_bytes: int = 64 * 2**20
    """An uncompressed radiograph of 30 Mpixel in 16 bits."""
    json_bytes: int = 256 * 2**10
    body_seconds: float = 60.0
    """For the whole body of a request, however it trickles in."""
    head_seconds: float = 20.0
    """For the head of a request."""
    pixels: int = 50_000_000
    uploads: int = 8
    """Received or parsed at a time: each holds a body in memory."""
    parsers: int = 2
    """Processes that parse files."""
    connections: int = 512
    requests_per_second: float = 200.0
    """Of a client, which is an address; that many seconds' worth may come at once:"""
    burst_seconds: float = 2.0
    findings: int = 32
    texts: int = 64
    """Of a request."""
    characters: int = 2000
    """Of a text."""
    hits: int = 50
    images_waiting: int = 128
    texts_waiting: int = 1024
    maps_waiting: int = 16
    searches_waiting: int = 64
    """Queues; a request that finds no room in one is answered 503."""
    kept: int = 256
    kept_bytes: int = 512 * 2**20
    kept_seconds: float = 900.0
    """Uploaded images: that many, that large in all, that long after they were last asked for."""


LIMITS = Limits()
