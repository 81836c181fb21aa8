from contextlib import contextmanager

import pytest
import torch

from medistill.data.loader import on_card
from medistill.data.loader.on_card import ImagesOnCard

CPU = torch.device("cpu")
IMAGES = torch.arange(12 * 4, dtype=torch.uint8).reshape(12, 2, 2)


class Card:
    """Notes what streams are asked to do, and which rows are copied by which."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.copying = Stream("copying", self.notes)
        self.stream = self.using = Stream("using", self.notes)

    @contextmanager
    def at(self, stream):
        before, self.stream = self.stream, stream
        yield
        self.stream = before


class Stream:
    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def wait_stream(self, other: "Stream") -> None:
        self.notes.append(f"{self.name} waits for {other.name}")


@pytest.fixture
def card(monkeypatch) -> Card:
    card = Card()
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: card.using)
    monkeypatch.setattr(torch.cuda, "stream", card.at)
    monkeypatch.setattr(on_card, "_copying", lambda device: card.copying)
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda images: True)

    def copied(images, device, non_blocking):
        rows = (images[:, 0, 0] // 4).tolist()
        card.notes.append(f"{card.stream.name} copies {rows[0]} to {rows[-1]}")
        return images.clone()

    monkeypatch.setattr(torch.Tensor, "to", copied)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda images, stream: card.notes.append(f"{stream.name} keeps")
    )
    return card


def test_the_rows_that_follow_are_copied_beside_the_work_on_those_asked_for(card):
    images = ImagesOnCard(IMAGES)
    assert torch.equal(images.part(slice(0, 5), CPU), IMAGES[:5])
    assert card.notes == ["using copies 0 to 4", "copying waits for using", "copying copies 5 to 9"]
    card.notes.clear()
    assert torch.equal(images.part(slice(5, 10), CPU), IMAGES[5:10])
    taken, begun = card.notes[:2], card.notes[2:]
    assert taken == ["using waits for copying", "using keeps"]
    assert begun == ["copying waits for using", "copying copies 10 to 11"]


def test_rows_asked_for_again_are_not_copied_again(card):
    images = ImagesOnCard(IMAGES)
    first = images.part(slice(0, 5), CPU)
    card.notes.clear()
    assert images.part(slice(0, 5), CPU) is first
    assert card.notes == []


def test_other_rows_than_those_that_follow_are_copied_when_asked_for(card):
    images = ImagesOnCard(IMAGES)
    for rows in (slice(0, 6), slice(6, 8), slice(0, 12), slice(3, 7)):
        assert torch.equal(images.part(rows, CPU), IMAGES[rows])
    assert [note for note in card.notes if note.startswith("using")] == [
        f"using copies {rows}" for rows in ("0 to 5", "6 to 7", "0 to 11", "3 to 6")
    ]


def test_images_that_are_not_pinned_are_copied_when_asked_for(card, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "is_pinned", lambda images: False)
    images = ImagesOnCard(IMAGES)
    for rows in (slice(0, 6), slice(6, 12)):
        assert torch.equal(images.part(rows, CPU), IMAGES[rows])
    assert card.notes == ["using copies 0 to 5", "using copies 6 to 11"]
