"""Units read by Ray Data, on this machine or on many."""

import functools
import importlib
import itertools
import logging
import math
import os
import pickle
import traceback
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from medistill.data.prepare.file_by_file import Items, Work, read_isolated
from medistill.errors import CallError, MedistillError
from medistill.system.isolated import IsolatedPool

_TASK = 16
"""Units of one task at most."""
_ROUND = 1024
"""Units that are handed to Ray at once for each of its processors; all of them could fill the memory."""


def require_ray() -> None:
    """CallError if the extra is not installed."""
    try:
        importlib.import_module("ray.data")
    except ImportError:
        raise CallError(
            "--engine ray needs a package that is not installed: pip install 'medistill[ray]'"
        ) from None


def read_on_ray(
    units: Iterable[Any], work: Work, *, workers: int, wanted: int | None
) -> Iterator[tuple[Any, Items]]:
    """Each unit with what comes of it, in order.

    With RAY_ADDRESS set, the machines of that cluster read. Each of them must have medistill and the module
    that `work` is from, and find the source's files under the same paths as this one. Otherwise a Ray is
    started on this machine and ended with the work; one that this process has started itself is used.

    workers   tasks at a time; 0 for one a processor that Ray has
    wanted    studies and rejects after which nothing more is asked for; None for all
    """
    units, received = iter(units), 0
    with running_ray(workers) as processors:
        while unread := list(itertools.islice(units, _round(processors, wanted, received))):
            for unit, items in zip(unread, _read(unread, work, processors), strict=True):
                received += len(items)
                yield unit, items


def _round(processors: int, wanted: int | None, received: int) -> int:
    """How many units to hand over; a unit rarely gives nothing."""
    return _ROUND * processors if wanted is None else min(_ROUND * processors, max(0, wanted - received))


def _read(units: list[Any], work: Work, processors: int) -> Iterator[Items]:
    import ray.data
    from ray.exceptions import RayError

    tasks = min(len(units), max(processors, math.ceil(len(units) / _TASK)))
    pickled = [{"unit": pickle.dumps(unit)} for unit in units]
    dataset = ray.data.from_items(pickled, override_num_blocks=tasks)
    dataset.context.execution_options.preserve_order = True
    dataset.context.enable_progress_bars = False
    dataset.context.print_on_execution_start = False
    task: Any = functools.partial(_task, work=work)
    compute = ray.data.TaskPoolStrategy(size=min(processors, tasks))
    read = dataset.map_batches(task, batch_size=None, batch_format="pyarrow", compute=compute)
    try:
        for table in read.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield from map(_result, table["result"])
    except RayError as error:
        raise MedistillError(f"Ray cannot go on: {_last_line(error)}") from error


def _result(value: Any) -> Items:
    result = pickle.loads(value.as_py())
    if isinstance(result, Exception):
        raise result
    return result


def _task(table: pa.Table, *, work: Work) -> Iterator[pa.Table]:
    """What comes of the units of a task, a row each; an error is a row too, for Ray would log it."""
    units = [pickle.loads(value.as_py()) for value in table["unit"]]
    try:
        for _, items in read_isolated(units, work, _pool()):
            yield _row(items)
    except Exception as error:
        error.add_note(traceback.format_exc())
        yield _row(error)


def _row(result: Items | Exception) -> pa.Table:
    return pa.table({"result": pa.array([pickle.dumps(result)], pa.large_binary())})


@functools.cache
def _pool() -> IsolatedPool:
    """Ray sets no limits for a file, so each of its processes has another read for it."""
    return IsolatedPool(1)


@contextmanager
def running_ray(workers: int) -> Generator[int]:
    """Ray, quiet and without reports to its makers; yields how many tasks it runs at a time."""
    require_ray()
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address, log = os.environ.get("RAY_ADDRESS"), logging.getLogger("ray.data")
    with ExitStack() as ending:
        if not ray.is_initialized():
            # Beside its logs Ray lays what its memory cannot hold, for anyone to read. A folder with a longer
            # name than one in /tmp may be too long for its sockets.
            private = TemporaryDirectory(
                prefix=f"medistill-{os.getpid()}-", dir="/tmp", ignore_cleanup_errors=True
            )
            folder = ending.enter_context(private)
            ending.callback(ray.shutdown)
            if address:
                _start(f"no Ray answers at RAY_ADDRESS={address}: start one there, or unset it", address)
            else:
                here = {"num_cpus": workers or None, "include_dashboard": False}
                _start("Ray does not start", "local", _temp_dir=f"{folder}/ray", **here)
        ending.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)  # its errors are raised as well
        yield workers or int(ray.cluster_resources()["CPU"])


def _start(otherwise: str, address: str, **options: Any) -> None:
    import ray

    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise CallError(f"{otherwise} ({_last_line(error)})") from error


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2]
