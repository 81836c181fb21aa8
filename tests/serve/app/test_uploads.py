from dataclasses import replace

import numpy as np

from medistill.serve.app.door.limits import LIMITS, RateLimit
from medistill.serve.app.uploads import KeptImages, Parsed


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def image(side: int = 10) -> Parsed:
    grey = np.zeros((side, side), np.uint8)
    return Parsed(seen=grey, grey=grey, levels=grey, width=1, height=1, dicom=False, bits=8, window=None)


def test_the_least_recently_used_image_goes_first():
    kept = KeptImages(replace(LIMITS, kept=2))
    first, second = kept.add(image()), kept.add(image())
    assert kept.get(first)
    third = kept.add(image())
    assert kept.get(second) is None
    assert kept.get(first) and kept.get(third)


def test_all_together_take_no_more_than_the_limit():
    kept = KeptImages(replace(LIMITS, kept_bytes=700))
    names = [kept.add(image()) for _ in range(4)]  # 300 bytes each
    assert [kept.get(name) is not None for name in names] == [False, False, True, True]
    assert kept.nbytes == 600


def test_an_image_nobody_asks_for_is_forgotten():
    clock = Clock()
    kept = KeptImages(replace(LIMITS, kept_seconds=60.0), clock)
    asked, left = kept.add(image()), kept.add(image())
    clock.now = 50
    assert kept.get(asked)
    clock.now = 70
    kept.expire()
    assert len(kept) == 1
    assert kept.get(left) is None and kept.get(asked)


def test_ids_are_long_and_never_the_same():
    kept = KeptImages(LIMITS)
    names = {kept.add(image()) for _ in range(50)}
    assert len(names) == 50
    assert min(map(len, names)) >= 32


def test_a_client_may_ask_so_often_and_no_more():
    clock = Clock()
    limit = RateLimit(2.0, 3.0, clock)
    assert [limit.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 1]
    assert limit.seconds_to_wait("b") == 0
    clock.now = 0.5
    assert [limit.seconds_to_wait("a") for _ in range(2)] == [0, 1]
    clock.now = 100
    assert [limit.seconds_to_wait("a") for _ in range(4)] == [0, 0, 0, 1]
