"""A model runs where it is sent, and on a card by itself if there is one."""

import os

import pytest
import torch

from medistill.errors import CallError
from medistill.system.device import chosen_device, the_only_device


def cards(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("count", "name", "place"), [(0, "auto", "cpu"), (2, "auto", "cuda:0"), (2, "cpu", "cpu")]
)
def test_the_first_card_is_taken_if_there_is_one(monkeypatch, count, name, place):
    cards(monkeypatch, count)
    assert chosen_device(name) == torch.device(place)


def test_a_card_may_be_named(monkeypatch):
    cards(monkeypatch, 2)
    assert chosen_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("count", "name", "reason"),
    [
        (0, "cuda", "no CUDA card was found"),
        (2, "cuda:2", "cuda:0 to cuda:1"),
        (1, "gpu", "expected auto, cpu, cuda or cuda:N"),
        (1, "cuda:-1", "expected auto, cpu, cuda or cuda:N"),
        (1, "meta", "expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_a_device_that_is_not_there_is_refused_in_one_line(monkeypatch, count, name, reason):
    cards(monkeypatch, count)
    with pytest.raises(CallError, match=reason) as refusal:
        chosen_device(name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("seen", "name", "left"),
    [
        (None, "cpu", ""),
        (None, "cuda", "0"),
        (None, "cuda:1", "1"),
        ("5,GPU-7c", "cuda:1", "GPU-7c"),
        ("5,7", "auto", "5,7"),
        (None, "auto", None),
    ],
)
def test_processes_started_meanwhile_see_one_device(monkeypatch, seen, name, left):
    cards(monkeypatch, 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if seen:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    with the_only_device(name):
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == left
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen
