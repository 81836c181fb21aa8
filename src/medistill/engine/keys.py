"""Teacher embeddings to compare queries with, and a queue of older ones."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from medistill.engine.gather import gathered
from medistill.objective import positive_mask


@dataclass(frozen=True)
class Keys:
    """n pairs as the teacher sees them, with the ids that say which belong together."""

    image: Float[Tensor, "n d"]
    text: Float[Tensor, "n d"]
    study: Int[Tensor, " n"]
    text_id: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.study)

    def __getitem__(self, rows: slice | Tensor) -> "Keys":
        return Keys(self.image[rows], self.text[rows], self.study[rows], self.text_id[rows])

    def positives(self, own: "Keys") -> Bool[Tensor, "b n"]:
        """Which of these keys belong to each pair of `own`."""
        return positive_mask(own.study, own.text_id, self.study, self.text_id)

    def gathered(self) -> "Keys":
        """Those of all ranks, rank by rank."""
        return Keys(*(gathered(rows) for rows in vars(self).values()))


def joined(first: Keys, second: Keys) -> Keys:
    """Both, one after the other."""
    names = ("image", "text", "study", "text_id")
    return Keys(*(torch.cat([getattr(first, name), getattr(second, name)]) for name in names))


class KeyQueue:
    """The newest `size` keys of windows no more than `max_age` windows old."""

    def __init__(self, size: int, max_age: int):
        self.size, self.max_age = size, max_age
        self.keys: Keys | None = None
        self.age: Tensor | None = None
        """In windows, on the host: what is dropped is known without asking the card."""

    def push(self, keys: Keys) -> None:
        """Age what is there by one window, add `keys`, drop what is too old or too many."""
        age = torch.zeros(len(keys), dtype=torch.long)
        if self.keys is not None and self.age is not None:
            age = torch.cat([self.age + 1, age])
            keys = joined(self.keys, keys)
        # The newest lie at the end, behind whatever the limit of age has left.
        kept = min(int((age < self.max_age).sum()), self.size)
        rows = slice(len(keys) - kept, len(keys))
        self.keys, self.age = keys[rows], age[rows]

    def state_dict(self) -> dict[str, Any]:
        """Tensors only, so that it loads without a pickle."""
        if self.keys is None:
            return {}
        # Copies: what was dropped lies before them, and would be saved too.
        return {name: rows.clone() for name, rows in vars(self.keys).items()} | {"age": self.age}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """The inverse of `state_dict`."""
        if state:
            tensors = {name: value.to(device) for name, value in state.items() if name != "age"}
            self.age = state["age"].cpu()
            self.keys = Keys(**tensors)
