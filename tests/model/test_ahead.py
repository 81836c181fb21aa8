"""Images come decoded by workers: the same ones, in order, with the same errors."""

import os

import numpy as np
import pytest

from medistill.errors import MedistillError
from medistill.model.ahead import BATCH, WORTHWHILE, decoded_ahead
from medistill.model.embedding import embed_images
from tests.conftest import tiny_model

COUNT = WORTHWHILE + 10


class Drawn:
    """Rows whose images are drawn from their number; one of them cannot be read."""

    def __init__(self, bad: int = -1, sides: tuple[int, ...] = (40,)):
        self.bad, self.sides, self.processes = bad, sides, set()

    def image(self, row: int) -> np.ndarray:
        if row == self.bad:
            raise MedistillError("the image in row 7 cannot be used")
        side = self.sides[row % len(self.sides)]
        return np.random.default_rng(row).integers(0, 256, (side, 30), dtype=np.uint8)


def by_whom(row: int) -> np.ndarray:
    return np.full((1, 1), os.getpid() % 251, np.uint8)


@pytest.mark.parametrize("count", [0, 3, BATCH + 1, COUNT])
@pytest.mark.parametrize("sides", [(40,), (40, 41)])
def test_images_come_in_order_and_as_they_are(count, sides):
    rows, drawn = [5 * row for row in range(count)], Drawn(sides=sides)
    batches = list(decoded_ahead(drawn.image, rows))
    assert [len(batch) for batch in batches] == [
        min(BATCH, count - start) for start in range(0, count, BATCH)
    ]
    images = [image for batch in batches for image in batch]
    assert all(np.array_equal(image, drawn.image(row)) for image, row in zip(images, rows, strict=True))


def test_many_images_are_decoded_in_other_processes_and_few_here():
    own = os.getpid() % 251
    assert own not in {int(image[0, 0]) for batch in decoded_ahead(by_whom, range(COUNT)) for image in batch}
    assert {int(image[0, 0]) for batch in decoded_ahead(by_whom, range(3)) for image in batch} == {own}


@pytest.mark.parametrize("count", [3, COUNT])
def test_an_image_that_cannot_be_read_is_named_in_one_line(count):
    with pytest.raises(MedistillError) as refusal:
        list(decoded_ahead(Drawn(bad=count - 1).image, range(count)))
    assert str(refusal.value) == "the image in row 7 cannot be used"


def test_images_prepared_by_workers_are_embedded_as_the_model_would():
    model, drawn = tiny_model().eval(), Drawn(sides=(40, 90))
    ahead = embed_images(model, drawn, range(COUNT))
    alone = model.encode_images([drawn.image(row) for row in range(COUNT)])
    np.testing.assert_allclose(ahead, alone.numpy(), atol=1e-6)
