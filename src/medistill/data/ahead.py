"""Images decoded before they are asked for, by processes, where a pass over many of them makes that pay.

The processes are helpers and no more, which take what cores the model leaves them. Whatever one does not
give, because it has not started, was killed, gets no core, or cannot read a file, this process decodes
itself, with the figures and errors of a pass without them. They are started as a command of their own: a fork
beside the threads of torch and Arrow may wait for ever, and what multiprocessing spawns runs the caller's
script again if that is not written for it.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from jaxtyping import UInt8

from medistill.data.image import decode_stored, letterbox
from medistill.errors import MedistillError
from medistill.system.isolated import cores, decoding

Grey = UInt8[np.ndarray, "h w"]
_TRIED = 0.25
"""Seconds of decoding from which the pace is known."""
_PAYS = 2.0
"""Seconds of decoding that must be left: a process takes half a second of a core to start."""
_MOST = 16
"""Processes at most: from there on this one's hashing and copying bound a pass."""
_CHUNK = 32
"""Images that a process is given at once."""
_AHEAD = 3
"""Chunks a process may be ahead of what is taken."""
_HELD = 128
"""Images as large as they are stored that may lie ready; and those decoded here while one is waited for."""
_COMMAND = (sys.executable, "-P", "-c", "from medistill.data.ahead import help_out; help_out()")
_LEAST_URGENT = 19
"""Niceness: threads of the model that wait for one another must not lose their cores to a decoder."""


class Ahead:
    """Rows of a corpus, the images of which are decoded in the order in which they are expected.

    In place of `data.corpus.Rows` where a pass needs no more than `stored`, `image` and `decoded`; to be used
    from one thread. An image comes as it is stored or, if a process made it, letterboxed to a square.

    size   the side of that square; None leaves every image as it is
    most   how many images may be asked for in all
    """

    def __init__(self, rows: Any, *, size: int | None, most: int) -> None:
        self._rows, self._size, self._left = rows, size, most
        self._expected: deque[int] = deque()
        """Rows that no process was given yet."""
        self._coming: dict[int, Future[dict[int, Grey]]] = {}
        """By row, what a process was given it for."""
        self._own: dict[int, Grey] = {}
        """By row, what was decoded here while another was waited for."""
        self._spent = self._decoded = 0.0
        """Seconds of decoding here, and how many images they were for."""
        self._helpers: Helpers | None = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._helpers:
            self._helpers.close()

    def expect(self, rows: Sequence[int] | np.ndarray) -> None:
        """These are asked for next, in this order; what else was expected is forgotten."""
        order = [int(row) for row in rows]
        known = set(order)
        self._coming = {row: coming for row, coming in self._coming.items() if row in known}
        self._own = {row: image for row, image in self._own.items() if row in known}
        self._expected = deque(row for row in order if row not in self._coming and row not in self._own)
        self._hand_out()

    def stored(self, row: int) -> bytes:
        """As `Rows.stored`."""
        return self._rows.stored(row)

    def image(self, row: int) -> Grey:
        """As `Rows.image`, or the square that is made of it."""
        return self._made(row, self._rows.image)

    def decoded(self, row: int) -> Grey:
        """As `Rows.decoded`, or the square that is made of it."""
        return self._made(row, self._rows.decoded)

    def _made(self, row: int, decode: Callable[[int], Grey]) -> Grey:
        self._hand_out()
        self._left -= 1
        image = self._own.pop(row, None)
        if image is None and (coming := self._coming.pop(row, None)) is not None:
            image = self._waited_for(coming).get(row)
        elif self._expected and self._expected[0] == row:
            self._expected.popleft()
        return self._timed(row, decode) if image is None else image

    def _waited_for(self, coming: Future[dict[int, Grey]]) -> dict[int, Grey]:
        """What a process gives. Until it does, images that no process was given are decoded here.

        The processes take what the machine has to spare. Where that is nothing, theirs is done here as well.
        """
        while not coming.done() and self._expected and len(self._own) < _HELD:
            row = self._expected.popleft()
            with contextlib.suppress(MedistillError):  # who asks for the image hears of it
                image = self._timed(row, self._rows.decoded)
                self._own[row] = image if self._size is None else letterbox(image, self._size)
        try:
            return coming.result(timeout=_CHUNK * self._spent / self._decoded if self._decoded else None)
        except TimeoutError:
            coming.cancel()
            self._coming = {row: other for row, other in self._coming.items() if other is not coming}
            return {}

    def _timed(self, row: int, decode: Callable[[int], Grey]) -> Grey:
        start = time.perf_counter()
        image = decode(row)
        self._spent, self._decoded = self._spent + time.perf_counter() - start, self._decoded + 1
        return image

    def _hand_out(self) -> None:
        """Keep every process that is there busy."""
        if self._helpers is None:
            pays = self._spent * self._left > _PAYS * self._decoded
            if pays and self._spent > _TRIED and self._helps:
                self._helpers = Helpers(min(cores(), _MOST))
            return
        room = self._helpers.ready * _AHEAD * _CHUNK
        room = room if self._size else min(room, _HELD)
        while self._expected and len(self._coming) + _CHUNK <= room:
            chunk = [self._expected.popleft() for _ in range(min(_CHUNK, len(self._expected)))]
            coming = self._helpers.begin(self._rows.stored, chunk, self._size)
            self._coming.update(dict.fromkeys(chunk, coming))

    @property
    def _helps(self) -> bool:
        """Whether the rows are those of a corpus: other rows may be decoded in their own way."""
        return hasattr(self._rows, "corpus")


class Helpers:
    """Processes that decode, each with a thread here that waits for it."""

    def __init__(self, count: int) -> None:
        self._there: set[int] = set()
        self._threads = ThreadPoolExecutor(count)
        self._idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
        self._processes = [process for _ in range(count) if (process := _started())]
        for process in self._processes:
            self._threads.submit(self._welcome, process)

    @property
    def ready(self) -> int:
        """Processes that have started and not ended, as far as is known."""
        return len(self._there)

    def close(self) -> None:
        """End the processes, whatever they do."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._threads.shutdown()
        for process in self._processes:
            with contextlib.suppress(OSError), process:  # the rest of a question cannot be sent
                pass

    def begin(
        self, stored: Callable[[int], bytes], rows: Sequence[int], size: int | None
    ) -> Future[dict[int, Grey]]:
        """The images of those rows that a process can read; none of them if there is no process any more."""
        return self._threads.submit(self._decoded, stored, rows, size)

    def _welcome(self, process: subprocess.Popen[bytes]) -> None:
        if _answer_of(process) is not None:
            self._there.add(process.pid)
            self._idle.put(process)

    def _decoded(
        self, stored: Callable[[int], bytes], rows: Sequence[int], size: int | None
    ) -> dict[int, Grey]:
        files: dict[int, bytes] = {}
        for row in rows:
            with contextlib.suppress(MedistillError):  # who asks for the image hears of it
                files[row] = stored(row)
        try:
            process = self._idle.get_nowait()
        except Empty:  # it was killed
            return {}
        answer = _answer_of(process, (list(files.values()), size))
        if answer is None:
            self._there.discard(process.pid)
            return {}
        self._idle.put(process)
        return {row: image for row, image in zip(files, answer, strict=True) if image is not None}


def _started() -> subprocess.Popen[bytes] | None:
    """A process; None if the machine has none to give."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OPENBLAS_NUM_THREADS": "1",  # it multiplies nothing, and each thread takes time to start
    }
    try:
        return subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            process_group=0,  # Ctrl-C is for the command, which then ends it
        )
    except OSError:
        return None


def _answer_of(process: subprocess.Popen[bytes], question: Any = None) -> Any:
    """What a process says, asked something or nothing; None if it has ended."""
    assert process.stdin and process.stdout
    try:
        if question is not None:
            pickle.dump(question, process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        return pickle.load(process.stdout)
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        return None


def help_out() -> None:
    """What a process does: it is given files, answers with squares, and ends when nobody gives it more."""
    os.nice(_LEAST_URGENT)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a decoder prints is no answer
    answer: Any = "ready"
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            pickle.dump(answer, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
            files, size = pickle.load(sys.stdin.buffer)
            answer = [_square(file, size) for file in files]


def _square(file: bytes, size: int | None) -> Grey | None:
    """The image as it is asked for; None if it cannot be read."""
    try:
        with decoding():
            grey = decode_stored(file)
            return grey if size is None else letterbox(grey, size)
    except (MedistillError, MemoryError):
        return None
