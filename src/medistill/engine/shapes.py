"""The fixed shapes that a tower's passes are captured for."""

from dataclasses import dataclass, replace

import torch.nn.functional as F
from torch import Tensor

from medistill.data.loader.windows import Window
from medistill.engine.batching import Tower
from medistill.model.dual import DualEncoder

LENGTHS = 4
"""To which texts are padded, at most: a graph each."""


@dataclass(frozen=True)
class Shape:
    """What one captured pass is for."""

    model: DualEncoder
    training: bool
    tower: Tower
    pairs: int
    tokens: int
    """Of each text; 0 for images and for pooled rows."""

    @property
    def learns(self) -> bool:
        """Whether there is a way back through it."""
        return any(p.requires_grad for p in self.model.parameters())


def padded_lengths(most: int) -> list[int]:
    """The lengths that texts of at most `most` tokens are padded to: quarters, in whole eights."""
    step = 8 * -(-most // (8 * LENGTHS))
    return [*range(step, most, step), most]


def padded(part: Window, tokens: int, pad: int) -> Window:
    """The pairs with texts of that length; a longer one is cut."""
    more = tokens - part.tokens.shape[1]
    lower = None if part.text_lower is None else F.pad(part.text_lower, (0, 0, 0, more))
    ids, mask = F.pad(part.tokens, (0, more), value=pad), F.pad(part.mask, (0, more), value=False)
    return replace(part, tokens=ids, mask=mask, text_lower=lower)


def with_padding(part: Window) -> Window:
    """With a text that is shorter than its place: without any, attention may take another kernel."""
    mask = part.mask.clone()
    mask[0, -1] = False
    return replace(part, mask=mask)


def inputs_of(tower: Tower, part: Window) -> tuple[Tensor, ...]:
    """What that tower takes of them."""
    if tower == "image":
        given, lower = (part.images,), part.image_lower
    else:
        given, lower = (part.tokens, part.mask), part.text_lower
    return given if lower is None else (*given, lower)


def has_lengths(model: DualEncoder, tower: Tower) -> bool:
    """Whether that tower's passes differ in length: not those of a locked one, which take pooled rows."""
    return tower == "text" and not model.text.locked


def shapes_of(model: DualEncoder, tower: Tower, pairs: int) -> list[Shape]:
    """Largest first, so that the smaller ones fit into the memory it took."""
    tokens = padded_lengths(model.max_tokens)[::-1] if has_lengths(model, tower) else [0]
    return [Shape(model, model.training, tower, pairs, each) for each in tokens]
