import pickle

import numpy as np

from medistill.data.loader.packed import packed, unpacked


def test_arrays_come_out_as_they_were_put_in():
    random = np.random.default_rng(0)
    arrays = [
        random.integers(0, 1 << 40, (3, 5)),
        random.normal(size=(3, 7)).astype(np.float32),
        random.integers(0, 2, (3, 5)).astype(bool),
        random.integers(0, 256, (3, 9, 11), dtype=np.uint8)[:, 1:, ::2],
        np.zeros((3, 0), bool),
    ]
    pack = packed(arrays)
    for before, after in zip(arrays, unpacked(pack), strict=True):
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        assert (after == before).all()
        assert after.flags.aligned
    assert sum(array.nbytes for array in arrays) == len(pack.bytes)


def test_what_goes_through_the_pipe_is_short():
    layout = packed([np.zeros((32, 128), np.int64), np.zeros((32, 128), bool)]).layout
    assert len(pickle.dumps(layout)) < 512
