"""A model whose embeddings are kept on disk by what they are embeddings of."""

import os
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from xxhash import xxh3_64_digest

from medistill.data.ahead import Ahead
from medistill.model.embedder import UnitEmbedder, check_texts
from medistill.model.fingerprint import embedder_name
from medistill.system.locks import locked

_KEY = 32
"""Bytes of a SHA-256."""
_SUM = 8
"""Bytes of a checksum."""
_SUFFIX = ".f32sum"
_AT_ONCE = 64


class Remembering(UnitEmbedder):
    """An embedder that asks its model only for what it has not embedded before.

    One file for a model: records of a hash of the image or text and its embedding, appended a batch at a
    time. A run that was killed has lost a batch at most; two runs at once may both write. Only the hashes
    are held in memory.
    """

    def __init__(self, model: Any, folder: Path) -> None:
        super().__init__(model)
        self._store = _Records(folder, embedder_name(model))
        self._asked: tuple[Any, list[int]] = (None, [])
        self._keys: list[bytes] = []
        """Of the images last asked for."""

    def encode_texts(self, texts: Sequence[str]) -> Float32[np.ndarray, "n d"]:
        check_texts(texts)
        keys = [sha256(b"text\0" + text.encode()).digest() for text in texts]

        def embed(places: Sequence[int]) -> np.ndarray:
            return super(Remembering, self).encode_texts([texts[place] for place in places])

        return self._store.all_of(keys, embed, None)

    def encode_rows(
        self, rows: Any, chosen: Sequence[int] | np.ndarray, on_done: Callable[[int], None] | None = None
    ) -> Float32[np.ndarray, "n d"]:
        """The embeddings of these rows' images; what is known is not even decoded."""
        keys = self.expect_rows(rows, chosen)

        def embed(places: Sequence[int]) -> np.ndarray:
            return self.encode_images([rows.image(int(chosen[place])) for place in places])

        return self._store.all_of(keys, embed, on_done)

    def expect_rows(self, rows: Any, chosen: Sequence[int] | np.ndarray) -> list[bytes]:
        """Have those images decoded that are not known yet, if `rows` is `Ahead`; the key of each image."""
        asked = (rows, [int(row) for row in chosen])
        if asked != self._asked:
            self._keys = [sha256(b"image\0" + rows.stored(row)).digest() for row in asked[1]]
            self._asked = asked
        if isinstance(rows, Ahead):
            rows.expect([asked[1][place] for place in self._store.missing(self._keys)])
        return self._keys


class _Records:
    """An append-only file of keys, vectors of one width, which its name tells, and a checksum of both.

    A record that does not fit its checksum counts as none: what it was of is embedded again.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._places: dict[bytes, int] = {}
        self._read = 0
        files = sorted(folder.glob(f"{name}-*{_SUFFIX}"))
        self._path = files[0] if files else None
        self._refresh()

    def all_of(
        self,
        keys: Sequence[bytes],
        embed: Callable[[Sequence[int]], np.ndarray],
        on_done: Callable[[int], None] | None,
    ) -> Float32[np.ndarray, "n d"]:
        """The vector of each key; `embed` is asked for those that are not there, by their places."""
        missing = self.missing(keys)
        if on_done and len(missing) < len(keys):
            on_done(len(keys) - len(missing))
        for start in range(0, len(missing), _AT_ONCE):
            places = missing[start : start + _AT_ONCE]
            self._append([keys[place] for place in places], embed(places))
            if on_done:
                on_done(len(places))
        return self._vectors(keys)

    def missing(self, keys: Sequence[bytes]) -> list[int]:
        """The places of those that are not there or damaged, each once."""
        self._forget_damaged(keys)
        first: dict[bytes, int] = {}
        for place, key in enumerate(keys):
            if key not in self._places:
                first.setdefault(key, place)
        return list(first.values())

    def _forget_damaged(self, keys: Iterable[bytes]) -> None:
        known = {key: self._places[key] for key in keys if key in self._places}
        records = self._records(self._read) if known else ()
        for key, place in known.items():
            record = records[place].tobytes()
            if record[:_KEY] != key or record != _record(record[:-_SUM]):
                del self._places[key]

    def _append(self, keys: Iterable[bytes], vectors: Float32[np.ndarray, "m d"]) -> None:
        if self._path is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path = self._folder / f"{self._name}-{vectors.shape[1]}{_SUFFIX}"
        packed = np.ascontiguousarray(vectors, dtype="<f4")
        records = b"".join(_record(key + row.tobytes()) for key, row in zip(keys, packed, strict=True))
        with self._path.open("ab") as file, locked(self._path):
            end = file.seek(0, os.SEEK_END)
            whole = end // self._size * self._size
            if whole < end:  # what a run that was killed left
                os.truncate(file.fileno(), whole)
            file.write(records)
        self._refresh()

    def _refresh(self) -> None:
        """Take in what has been appended, by this run or another."""
        if self._path is None or not self._path.is_file():
            return
        count = self._path.stat().st_size // self._size
        if count > self._read:
            keys = self._records(count)["key"][self._read :]
            self._places |= {key.tobytes(): place for place, key in enumerate(keys, start=self._read)}
            self._read = count

    def _vectors(self, keys: Sequence[bytes]) -> Float32[np.ndarray, "n d"]:
        if self._path is None:
            return np.zeros((0, 0), np.float32)
        places = np.array([self._places[key] for key in keys], dtype=np.int64)
        return self._records(self._read)["vector"][places]

    def _records(self, count: int) -> np.ndarray:
        form = np.dtype([("key", np.uint8, _KEY), ("vector", "<f4", self._width), ("sum", np.uint8, _SUM)])
        assert self._path is not None
        return np.memmap(self._path, form, "r", shape=(count,))

    @property
    def _width(self) -> int:
        assert self._path is not None
        return int(self._path.stem.rpartition("-")[2])

    @property
    def _size(self) -> int:
        return _KEY + 4 * self._width + _SUM


def _record(content: bytes) -> bytes:
    return content + xxh3_64_digest(content)
