"""Features of locked towers: computed once, kept beside the corpus."""

import hashlib
import json
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from lightning_fabric import Fabric
from torch import Tensor

from medistill import __version__
from medistill.data.ahead import Ahead
from medistill.data.corpus import Rows
from medistill.data.image import letterbox
from medistill.data.loader.windows import Kept
from medistill.engine.batching import TOWERS, Tower
from medistill.engine.gather import from_first_rank, ranks
from medistill.engine.step import POOLED_AT_ONCE
from medistill.model.dual import DualEncoder
from medistill.model.fingerprint import model_hash
from medistill.model.tokenizer import tokenize
from medistill.system.checksums import ChecksumError, checked_file, verify
from medistill.system.locks import locked
from medistill.system.progress import Progress, counted

log = logging.getLogger(__name__)
FOLDER = "features"
"""In a corpus folder; it may be removed at any time, and is made again."""
Bar = Callable[[], AbstractContextManager[Progress | None]]
Parts = Generator[Float32[np.ndarray, "b e"]]


def keep_features(
    model: DualEncoder, rows: Rows, texts: Sequence[str] | None, *, fabric: Fabric, bar: Bar
) -> Kept:
    """The features of the model's locked towers for these rows, found beside the corpus or put there.

    On several ranks the first one computes.

    texts   of the rows; None if epochs differ: the features of texts are then left to each window
    """
    if not (model.image.locked or model.text.locked):
        return Kept()
    model.to(fabric.device)
    if ranks() > 1:
        from_first_rank(lambda: len(_both(model, rows, texts, fabric, bar)))
    return _both(model, rows, texts, fabric, bar)


def _both(model: DualEncoder, rows: Rows, texts: Sequence[str] | None, fabric: Fabric, bar: Bar) -> Kept:
    image = _of_images(model, rows, fabric, bar) if model.image.locked else None
    return Kept(image, _of_texts(model, rows, texts, fabric, bar) if model.text.locked else None)


def tower_hashes(model: DualEncoder) -> dict[str, str]:
    """By what it is, the weights of each locked tower: features of others must not be taken on resume."""
    towers = {name: getattr(model, name) for name in TOWERS}
    return {f"locked {name} tower": str(model_hash(one)) for name, one in towers.items() if one.locked}


class Revisited:
    """Images and texts that a model embeds again and again: what locked towers make of them is kept."""

    def __init__(self, squares: Sequence[np.ndarray], texts: Sequence[str]):
        self.squares, self.texts = squares, texts
        self._features: dict[Tower, Tensor] = {}

    @torch.no_grad()
    def embedded_by(self, model: DualEncoder) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]:
        """Unit rows of the images and of the texts, on the CPU."""
        none = torch.zeros(len(self.texts), 0, dtype=torch.long)
        if model.image.locked:
            images = model.embed_images(none[..., None].byte(), self._of(model, "image")).float().cpu()
        else:
            images = model.encode_images(self.squares)
        if model.text.locked:
            texts = model.embed_tokens(none, none.bool(), self._of(model, "text"))
            return images, texts.float().cpu()
        return images, model.encode_texts(self.texts)

    def _of(self, model: DualEncoder, tower: Tower) -> Float[Tensor, "n e"]:
        if tower not in self._features:
            given = self.squares if tower == "image" else self.texts
            parts = [_pooled(model, tower, given[rows]) for rows in _chunks(len(given))]
            self._features[tower] = torch.cat(parts)
        return self._features[tower]


def _of_images(model: DualEncoder, rows: Rows, fabric: Fabric, bar: Bar) -> Float32[np.ndarray, "n e"] | None:
    def parts() -> Parts:
        with bar() as on_progress, Ahead(rows, size=model.size, most=len(rows)) as ahead:
            tell = counted(on_progress, "image features", len(rows))
            ahead.expect(range(len(rows)))
            for part in _chunks(len(rows)):
                squares = [letterbox(ahead.image(row), model.size) for row in range(part.start, part.stop)]
                yield _as_array(fabric, model, "image", squares)
                tell(len(squares))

    seen = [rows.corpus.card["sha256"], hashlib.sha256(rows.indices.tobytes()).hexdigest()]
    seen += [model.size, model.channels, model.mean, model.std]
    return _kept(rows, "image", _name(model, "image", seen, fabric), parts)


def _of_texts(
    model: DualEncoder, rows: Rows, texts: Sequence[str] | None, fabric: Fabric, bar: Bar
) -> Float32[np.ndarray, "n e"] | None:
    if texts is None:
        log.info("the features of the locked text tower are computed window by window: texts are drawn anew")
        return None

    def parts() -> Parts:
        with bar() as on_progress:
            tell = counted(on_progress, "text features", len(texts))
            for part in _chunks(len(texts)):
                yield _as_array(fabric, model, "text", texts[part])
                tell(part.stop - part.start)

    seen: list[Any] = [hashlib.sha256(json.dumps(texts).encode()).hexdigest()]
    words = json.loads(model.tokenizer.to_str())
    seen += [{**words, "truncation": None, "padding": None}, model.max_tokens]  # set at its first use
    return _kept(rows, "text", _name(model, "text", seen, fabric), parts)


def _name(model: DualEncoder, tower: Tower, seen: Sequence[Any], fabric: Fabric) -> str:
    """Equal for features that are equal: by the tower, what it was given and how, and where."""
    own = getattr(model, tower)
    unsaid = ("_name_or_path", "transformers_version")  # where it lay and who saved it
    config = {name: value for name, value in own.config.to_dict().items() if name not in unsaid}
    pooled = [own.pooling, own.frozen_norm, getattr(own, "normalized", False)]
    run = [__version__, fabric.device.type, str(fabric.strategy.precision.precision)]
    identity = [model_hash(own), config, pooled, run, list(seen)]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode())
    return f"{tower}-{digest.hexdigest()[:32]}.npy"


def _kept(
    rows: Rows, tower: Tower, name: str, parts: Callable[[], Parts]
) -> Float32[np.ndarray, "n e"] | None:
    """The file's rows, mapped into memory; written first if they are not there or not as they were.

    None, and a line, where nothing can be written: each window then computes its own.
    """
    folder = rows.corpus.path / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        with locked(folder):  # another run may be computing them
            there = _read(folder / name, len(rows))
            if there is None:
                _write(folder / name, len(rows), parts())
                there = _read(folder / name, len(rows))
            return there
    except OSError as error:
        log.warning(
            "the features of the locked %s tower cannot be kept in the corpus's folder `%s` (%s): each "
            "window computes them anew",
            tower,
            FOLDER,
            error.strerror or type(error).__name__,
        )
        return None


def _read(path: Path, pairs: int) -> Float32[np.ndarray, "n e"] | None:
    """None if it is not there, or, with a line, if it is not what was written."""
    if not path.is_file():
        return None
    try:
        if verify(path):
            rows = np.load(path, mmap_mode="r", allow_pickle=False)
            if rows.ndim == 2 and len(rows) == pairs and rows.dtype == np.float32:
                return rows
    except (ChecksumError, ValueError):
        pass
    log.warning("%s/%s is damaged or of another origin: its features are computed anew", FOLDER, path.name)
    return None


def _write(path: Path, pairs: int, parts: Iterator[Float32[np.ndarray, "b e"]]) -> None:
    """Whole or not at all, a part at a time."""
    with checked_file(path) as file:
        for number, part in enumerate(parts):
            if not number:
                header = {"descr": "<f4", "fortran_order": False, "shape": (pairs, part.shape[1])}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(part.astype("<f4").tobytes())


def _as_array(
    fabric: Fabric, model: DualEncoder, tower: Tower, given: Sequence[Any]
) -> Float32[np.ndarray, "b e"]:
    with torch.no_grad(), fabric.autocast():
        return _pooled(model, tower, given).float().cpu().numpy()


def _pooled(model: DualEncoder, tower: Tower, given: Sequence[Any]) -> Float[Tensor, "b e"]:
    device = model.log_scale.device
    if tower == "image":
        return model.lower_images(torch.from_numpy(np.stack(given)).to(device))
    tokens, mask = tokenize(model.tokenizer, given, model.max_tokens)
    return model.text.lower(tokens.to(device), mask.to(device))


def _chunks(count: int) -> list[slice]:
    return [slice(i, min(i + POOLED_AT_ONCE, count)) for i in range(0, count, POOLED_AT_ONCE)]
