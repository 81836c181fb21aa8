"""The model behind queues: images, texts and maps of all clients, a batch at a time."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from medistill.evaluate.prompts.own import own_prompts
from medistill.evaluate.tasks.grounding import PhraseMapper
from medistill.model.embedder import UnitEmbedder
from medistill.model.embedding import unit_mean
from medistill.model.grounding import NoPlacesError, PhraseMap
from medistill.serve.app.batcher import Batcher, FullError
from medistill.serve.app.door.limits import Limits
from medistill.serve.app.door.refusal import RefusedError, busy
from medistill.serve.app.judging import prompts_of

_BATCH, _MAPS = 32, 4  # a map keeps the activations of its image for the backward pass
_REMEMBERED = 4096  # texts: reports of a corpus repeat their sentences
Row = Float32[np.ndarray, " d"]
_Mapped = tuple[UInt8[np.ndarray, "h w"], Row]


class Lanes:
    """One model, three queues with a thread each; RefusedError 503 where a queue is full."""

    def __init__(self, model: Any, limits: Limits) -> None:
        self.model = UnitEmbedder(model)
        self._own = own_prompts(model)
        self.size: int | None = getattr(model, "size", None)
        for parameter in getattr(model, "parameters", list[Any])():
            parameter.requires_grad_(False)  # maps go backward to the image alone
        self._images: Batcher[np.ndarray, Row] = Batcher(
            self._embed_images, most=_BATCH, room=limits.images_waiting
        )
        self._texts: Batcher[str, Row] = Batcher(self._embed_texts, most=_BATCH, room=limits.texts_waiting)
        self._maps: Batcher[_Mapped, PhraseMap] = Batcher(self._map, most=_MAPS, room=limits.maps_waiting)
        self._remembered: OrderedDict[str, Row] = OrderedDict()

    async def image(self, seen: UInt8[np.ndarray, "h w"]) -> Row:
        """The unit embedding of what the model sees."""
        try:
            return await self._images.one(seen)
        except FullError:
            raise busy("too many images are waiting") from None

    async def texts(self, texts: Sequence[str]) -> list[Row]:
        """The unit embedding of each text; each different one is embedded once."""
        known = {text: self._remembered[text] for text in texts if text in self._remembered}
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        # The sentences of fifty long reports are more than the queue holds, and others wait for a turn too.
        for start in range(0, len(missing), _BATCH):
            some = missing[start : start + _BATCH]
            try:
                known |= dict(zip(some, await self._texts.all(some), strict=True))
            except FullError:
                raise busy("too many texts are waiting") from None
        for text, row in known.items():
            self._remembered[text] = row
            self._remembered.move_to_end(text)
        while len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return [known[text] for text in texts]

    async def direction(self, finding: str) -> Row:
        """The mean of what says the finding less the mean of what denies it, as zero-shot scores use it."""
        sides = prompts_of(finding, self._own)
        rows = await self.texts([*sides["positive"], *sides["negative"]])
        cut = len(sides["positive"])
        return unit_mean(np.stack(rows[:cut])) - unit_mean(np.stack(rows[cut:]))

    async def map(self, grey: UInt8[np.ndarray, "h w"], direction: Row) -> PhraseMap:
        """Where an image holds what the direction says; RefusedError 422 if the model knows no places."""
        if not isinstance(self.model.model, PhraseMapper):
            raise RefusedError(422, "the served model gives no map of a phrase over an image")
        try:
            return await self._maps.one((grey, direction))
        except FullError:
            raise busy("too many maps are waiting") from None
        except NoPlacesError as error:
            raise RefusedError(422, str(error)) from None

    def close(self) -> None:
        """End the threads."""
        for lane in (self._images, self._texts, self._maps):
            lane.close()

    def _embed_images(self, images: list[np.ndarray]) -> Sequence[Row]:
        return list(self.model.encode_images(images))

    def _embed_texts(self, texts: list[str]) -> Sequence[Row]:
        return list(self.model.encode_texts(texts))

    def _map(self, pairs: list[_Mapped]) -> Sequence[PhraseMap]:
        phrases = torch.from_numpy(np.stack([direction for _, direction in pairs]))
        return self.model.model.phrase_maps([image for image, _ in pairs], phrases)
