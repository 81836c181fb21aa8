"""How much of the server one request, one client and all of them together may take."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_ADDRESSES = 4096  # remembered: a flood from many addresses fills no memory


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is above a limit is refused: 413 or 422 for a request, 429 for a client, 503 for all together."""

    upload_bytes: int = 64 * 2**20
    """An uncompressed radiograph of 30 Mpixel in 16 bits."""
    json_bytes: int = 256 * 2**10
    body_seconds: float = 60.0
    """For the whole body of a request, however it trickles in."""
    pause_seconds: float = 10.0
    slowest: float = 4096.0
    """Bytes a second that a body must bring over each pause; 32 kbit/s is the slowest mobile line."""
    head_seconds: float = 20.0
    """For the head of a request."""
    pixels: int = 50_000_000
    arriving_bytes: int = 512 * 2**20
    """Of all files that are received or parsed: what has come of one that trickles takes little of it."""
    uploads: int = 8
    """Files that are parsed or wait for that, once they are there."""
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
    index_seconds: float = 60.0
    """For a look into the index, with the wait for its turn: twice what a database may take for one."""
    look_seconds: float = 10.0
    """For what tells whether the server is ready."""
    kept: int = 256
    kept_bytes: int = 512 * 2**20
    kept_seconds: float = 900.0
    """Uploaded images: that many, that large in all, that long after they were last asked for."""


LIMITS = Limits()


@dataclass
class _Bucket:
    left: float
    seen: float


class RateLimit:
    """A token bucket for each address: `rate` requests a second in the long run, `burst` at once."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def seconds_to_wait(self, address: str) -> int:
        """0 and one request taken, or whole seconds until there is one to take."""
        now = self._clock()
        bucket = self._buckets.pop(address, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.seen) * self._rate)
        bucket.seen = now
        self._buckets[address] = bucket
        if len(self._buckets) > _ADDRESSES:
            self._buckets.popitem(last=False)
        if bucket.left >= 1:
            bucket.left -= 1
            return 0
        return math.ceil((1 - bucket.left) / self._rate)
