"""What a protocol asks of a text encoder, and the scores that come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from medistill.errors import CallError
from medistill.evaluate.prompts.prompts import SIDES, Prompts
from medistill.evaluate.protocols.protocol import Pooling, Protocol
from medistill.model.embedding import Embedder, embed_texts


@dataclass(frozen=True)
class Wording:
    """The prompts of each finding, and whose they are."""

    prompts: dict[str, dict[str, list[str]]]
    origin: str

    @property
    def findings(self) -> tuple[str, ...]:
        return tuple(self.prompts)

    @property
    def has_negative(self) -> bool:
        return all(sides["negative"] for sides in self.prompts.values())


def wording_of(protocol: Protocol, findings: Sequence[str], given: Prompts | None) -> Wording:
    """The protocol's prompts for these findings of a corpus; those given in a file take their place.

    CallError if the file names some of its findings and not all, or if only some have a negative side.
    """
    own = {finding: _own(protocol, finding) for finding in findings}
    named = {finding.lower(): sides for finding, sides in (given or {}).items()}
    taken = [finding for finding in findings if finding.lower() in named]
    if given and len(taken) < len(findings):
        missing = next(finding for finding in findings if finding not in taken)
        raise CallError(f"the prompts given name no '{missing}', which protocol {protocol.name} scores")
    prompts = {
        finding: {side: list(named.get(finding.lower(), sides).get(side, ())) for side in SIDES}
        for finding, sides in own.items()
    }
    if protocol.task == "classes":
        prompts = {finding: {**sides, "negative": []} for finding, sides in prompts.items()}
    if len({bool(sides["negative"]) for sides in prompts.values()}) > 1:
        raise CallError("some findings have negative prompts and some have none: scores would not compare")
    whose = "templates of the protocol" if protocol.positive else "written by medistill"
    return Wording(prompts, "given in a file" if given else whose)


def _own(protocol: Protocol, finding: str) -> Mapping[str, Sequence[str]]:
    if finding in protocol.prompts:
        return protocol.prompts[finding]
    words = protocol.findings.get(finding, finding.replace("_", " ").strip())
    templates = {"positive": protocol.positive, "negative": protocol.negative}
    return {side: [text.format(words) for text in texts] for side, texts in templates.items()}


class EmbeddedPrompts:
    """Each prompt's embedding, computed once."""

    def __init__(self, model: Embedder, wording: Wording) -> None:
        self.wording = wording
        texts = [text for sides in wording.prompts.values() for side in SIDES for text in sides[side]]
        self._of = dict(zip(texts, embed_texts(model, texts), strict=True))

    def scores(
        self,
        images: Float32[np.ndarray, "n d"],
        pooling: Pooling,
        drawn: Mapping[str, Sequence[int]] | None = None,
    ) -> Float32[np.ndarray, "n f"]:
        """Each finding's positive side less its negative one, if it has one.

        drawn   which of the positive prompts of each finding to take; default all
        """
        columns: list[np.ndarray] = []
        for finding, sides in self.wording.prompts.items():
            positive = sides["positive"]
            chosen = [positive[place] for place in drawn[finding]] if drawn else positive
            score = pooled(images, self._rows(chosen), pooling)
            if sides["negative"]:
                score = score - pooled(images, self._rows(sides["negative"]), pooling)
            columns.append(score)
        return np.stack(columns, axis=1).astype(np.float32)

    def _rows(self, texts: Sequence[str]) -> Float32[np.ndarray, "p d"]:
        return np.stack([self._of[text] for text in texts])


def pooled(
    images: Float32[np.ndarray, "n d"], prompts: Float32[np.ndarray, "p d"], pooling: Pooling
) -> Float[np.ndarray, " n"]:
    """Similarity of each image to p prompts taken together; six digits, so that rounding makes no order."""
    if pooling == "max":
        return np.round((images @ prompts.T).max(axis=1), 6)
    mean = prompts.astype(np.float64).mean(axis=0)
    if pooling == "unit mean":
        mean /= max(float(np.linalg.norm(mean)), 1e-12)
    return np.round(images.astype(np.float64) @ mean, 6)


def draw_prompts(protocol: Protocol, wording: Wording, *, seed: int, run: int) -> dict[str, list[int]] | None:
    """Which prompts of each finding this run takes; None for all of them."""
    if not protocol.sampled:
        return None
    drawn: dict[str, list[int]] = {}
    for number, (finding, sides) in enumerate(wording.prompts.items()):
        count = len(sides["positive"])
        order = np.random.default_rng([seed, run, number]).permutation(count)
        drawn[finding] = sorted(order[: protocol.sampled].tolist())
    return drawn
