import asyncio
import threading

import numpy as np
import pytest

from medistill.serve.app.batcher import Batcher, FullError, Gate


def run(make):
    """The coroutine that `make` gives, in a loop of its own."""
    return asyncio.run(make())


def test_what_waits_is_worked_on_together_and_each_gets_its_own():
    sizes = []

    def double(items):
        sizes.append(len(items))
        return [2 * item for item in items]

    async def ask():
        lane = Batcher(double, most=4, room=100)
        found = await asyncio.gather(*(lane.all([n, n + 0.5]) for n in range(5)))
        lane.close()
        return found

    assert run(ask) == [[2 * n, 2 * n + 1] for n in range(5)]
    assert sizes == [4, 4, 2]


def test_what_comes_while_a_batch_is_worked_on_becomes_the_next():
    began, go_on, sizes = threading.Event(), threading.Event(), []

    def work(items):
        sizes.append(len(items))
        began.set()
        assert go_on.wait(10)
        return items

    async def ask():
        lane = Batcher(work, most=8, room=100)
        first = asyncio.create_task(lane.one(1))
        await asyncio.to_thread(began.wait)
        rest = [asyncio.create_task(lane.one(n)) for n in range(3)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *rest)
        lane.close()

    run(ask)
    assert sizes == [1, 3]


def test_a_full_queue_refuses_and_does_nothing_of_the_request():
    async def ask():
        lane = Batcher(lambda items: items, most=2, room=3)
        waiting = asyncio.create_task(lane.all([1, 2]))
        await asyncio.sleep(0)
        with pytest.raises(FullError):
            await lane.all([3, 4])
        assert await lane.one(5) == 5
        assert await waiting == [1, 2]
        lane.close()

    run(ask)


def test_the_fault_of_one_item_is_no_others():
    def work(items):
        if 0 in items:
            raise ZeroDivisionError
        return [1 / item for item in items]

    async def ask():
        lane = Batcher(work, most=8, room=100)
        found = await asyncio.gather(*(lane.one(n) for n in (2, 0, 4)), return_exceptions=True)
        assert await lane.one(5) == 0.2
        lane.close()
        return found

    half, fault, quarter = run(ask)
    assert (half, quarter) == (0.5, 0.25)
    assert isinstance(fault, ZeroDivisionError)


def test_work_for_clients_that_have_gone_is_not_done():
    done = []

    async def ask():
        lane = Batcher(lambda items: done.extend(items) or items, most=8, room=100)
        gone = asyncio.create_task(lane.one(1))
        stays = asyncio.create_task(lane.one(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 2
        lane.close()

    run(ask)
    assert done == [2]


def test_a_gate_lets_so_many_in_and_opens_again():
    gate = Gate(2)
    with gate, gate, pytest.raises(FullError), gate:
        pass
    with gate, gate:
        pass


def test_a_batch_gives_what_each_item_gives_alone(german):
    from medistill.model.saved import load
    from medistill.serve.app.lanes import Lanes
    from tests.serve.app.conftest import SMALL
    from tests.serve.conftest import film

    lanes = Lanes(load(german.run), SMALL)
    films = [film(n % 2, n // 2 % 2, n) for n in range(12)]
    texts = [f"Kein Rundherd. Film {n}." for n in range(12)]

    async def alone():
        return [await lanes.image(f) for f in films], [(await lanes.texts([t]))[0] for t in texts]

    async def together():
        images = asyncio.gather(*(lanes.image(f) for f in films))
        rows = asyncio.gather(*(lanes.texts([t]) for t in texts))
        return await images, [row for (row,) in await rows]

    first = run(alone)
    lanes._remembered.clear()
    for one, many in zip(first, run(together), strict=True):
        np.testing.assert_allclose(np.stack(many), np.stack(one), atol=1e-5)
    lanes.close()
