"""What the endpoints answer from: the model, the index, and images on their way."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from fastapi import Request
from jaxtyping import Float32, UInt8

from medistill.data.dicom.file import known_kind
from medistill.data.image import letterbox
from medistill.errors import MedistillError
from medistill.model.writing import unseen_scripts
from medistill.serve.app.batcher import FullError, Gate, Store
from medistill.serve.app.door.limits import Limits
from medistill.serve.app.door.refusal import RefusedError, busy
from medistill.serve.app.forms import IndexAbout, OfCase, OfUpload
from medistill.serve.app.judging import Judged, Known, judged_plainly
from medistill.serve.app.lanes import Lanes
from medistill.serve.app.outage import Part
from medistill.serve.app.uploads import KeptImages, Parsed, Upload, is_known, parse
from medistill.serve.index.case import Case
from medistill.serve.index.filters import QueryError
from medistill.serve.index.find import image_in, origin_of
from medistill.serve.index.protocol import Index
from medistill.system.isolated import GaveUp, IsolatedPool, outcome

R = TypeVar("R")
_THREADS = 4  # that read the index and the corpus


@dataclass(frozen=True, kw_only=True)
class Served:
    """A loaded model with all that belongs to it."""

    lanes: Lanes
    sha256: str | None
    dim: int
    index: Index | None
    there: IndexAbout | None
    """What the index held when it was loaded."""
    known: Known | None
    """The findings that the index's corpus labels, calibrated; None if it labels none."""
    suggestions: tuple[str, ...]
    """Findings to try."""
    examples: tuple[str, ...]
    """Cases anybody may see: phantoms."""

    async def judged(self, finding: str, image: Float32[np.ndarray, " d"]) -> Judged:
        """How likely the image shows the finding, and how sure that is."""
        place = self.known.place(finding) if self.known else None
        if self.known and place is not None:
            return self.known.judged(place, image)
        unseen = unseen_scripts(self.lanes.model, [finding])
        return judged_plainly(await self.lanes.direction(finding), image, self.lanes.model.scale, unseen)

    async def direction(self, phrase: str) -> Float32[np.ndarray, " d"]:
        """What a phrase says less what denies it."""
        place = self.known.place(phrase) if self.known else None
        if self.known and place is not None:
            return self.known.classifier.weight[place].astype(np.float32)
        return await self.lanes.direction(phrase)


class Picture(NamedTuple):
    """An image that a request refers to."""

    seen: UInt8[np.ndarray, "s t"]
    """What the model sees."""
    grey: UInt8[np.ndarray, "h w"]


class Service:
    """The state of one server; `served` is None while the model is loaded."""

    def __init__(self, limits: Limits, *, token_required: bool, phantoms: bool) -> None:
        self.limits, self.token_required, self.phantoms = limits, token_required, phantoms
        self.loaded: Served | None = None
        self.kept = KeptImages(limits)
        self.arriving, self.uploads = Store(limits.arriving_bytes), Gate(limits.uploads)
        self._searches = Gate(limits.searches_waiting)
        self._threads = ThreadPoolExecutor(_THREADS)
        self._pool = IsolatedPool(limits.parsers)
        self._index_part, self._pool_part = Part("the index"), Part("the processes that read files")
        self._looking: asyncio.Task[None] | None = None

    @property
    def served(self) -> Served:
        """RefusedError 503 while it is loaded."""
        if self.loaded is None:
            raise RefusedError(503, "the model is still being loaded; try again", retry_after=2)
        return self.loaded

    @property
    def index(self) -> Index:
        """RefusedError 404 if there is none."""
        if self.served.index is None:
            raise RefusedError(404, "no index is served: start the server with --index")
        return self.served.index

    async def parsed(self, data: bytes) -> Parsed:
        """The image of an uploaded file, read by a process with limits; RefusedError if it cannot be read."""
        if not is_known(data):
            kind = known_kind(data)
            raise RefusedError(415, "not a PNG, JPEG or DICOM image" + (f" but {kind}" if kind else ""))
        upload = Upload(data=data, size=self.served.lanes.size, max_pixels=self.limits.pixels)
        future = self._pool.begin(parse, upload)
        waiting = asyncio.wrap_future(future)
        await asyncio.wait([waiting])
        waiting.exception()  # `outcome` tells it; asyncio would log one that nobody has asked for
        with self._pool_part.used():
            image = outcome(future)
        if isinstance(image, GaveUp):
            raise RefusedError(422, image.reason)
        return image

    async def picture(self, of: OfUpload | OfCase) -> Picture:
        """The image referred to; RefusedError 404 if it is not there, or no more."""
        if isinstance(of, OfUpload):
            image = self.kept_image(of.image)
            return Picture(image.seen, image.grey)
        grey = await self.case_picture(await self.case(of.case))
        size = self.served.lanes.size
        return Picture(grey if size is None else letterbox(grey, size), grey)

    def kept_image(self, name: str) -> Parsed:
        """An uploaded image; RefusedError 404 if it is not there, or no more."""
        image = self.kept.get(name)
        if image is None:
            raise RefusedError(404, "there is no such image, or no more: send it again")
        return image

    async def case(self, name: str) -> Case:
        """A case of the index; RefusedError 404 if there is none of that id."""
        index = self.index
        case = await self.of_index(lambda: index.case(name))
        if case is None:
            raise RefusedError(404, "there is no such case")
        return case

    async def case_picture(self, case: Case) -> UInt8[np.ndarray, "h w"]:
        """The image of a case, read from its corpus."""
        try:
            origin = await self.of_index(lambda: origin_of(self.index, case))
            return await self.in_thread(lambda: image_in(origin, case))
        except (MedistillError, OSError):  # their messages name a path
            raise RefusedError(
                404, "the picture of this case is gone: its corpus has moved or changed"
            ) from None

    async def of_index(self, work: Callable[[], R]) -> R:
        """What the index answers; RefusedError 422 for what it cannot be asked, 503 while it cannot be."""
        with self._index_part.used():
            try:
                async with asyncio.timeout(self.limits.index_seconds):
                    return await self.in_thread(work)
            except QueryError as error:
                raise RefusedError(422, str(error)) from None

    async def check(self) -> None:
        """RefusedError 503 unless a request can be answered now; those who ask at once are told the same."""
        self.served  # noqa: B018  refuses while the model is loaded
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        try:
            await asyncio.wait_for(asyncio.shield(self._looking), self.limits.look_seconds)
        except TimeoutError:
            raise RefusedError(
                503, "the index or the processes that read files are slow", retry_after=5
            ) from None

    async def _look(self) -> None:
        """Beside the threads of requests, which may all be taken."""
        with self._pool_part.used():
            await asyncio.to_thread(self._pool.check)
        if (index := self.served.index) is not None:
            with self._index_part.used():
                await asyncio.to_thread(lambda: len(index))

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._looking = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; asyncio would log one that nobody took

    async def in_thread(self, work: Callable[[], R]) -> R:
        """Work on the index or the corpus beside the event loop; RefusedError 503 if too much of it waits."""
        try:
            with self._searches:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except FullError:
            raise busy("too many searches are waiting") from None

    def close(self) -> None:
        """End processes and threads; forget the images."""
        self._pool.close()
        self._threads.shutdown(cancel_futures=True)
        if self.loaded:
            self.loaded.lanes.close()
            if self.loaded.index is not None:
                self.loaded.index.close()


def service_of(request: Request) -> Service:
    """Of the app that answers."""
    return request.app.state.service
