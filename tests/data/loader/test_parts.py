"""A part of each text for the student, the whole for a teacher."""

import copy
from dataclasses import replace

import pytest
import torch

from medistill.data.loader.wording import Wordings
from medistill.engine.objectives import make_method
from medistill.engine.step import Batching, train_window
from medistill.recipe import Encoder
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.data.loader.test_windows import PAIRS, loader
from tests.engine.test_step import Steps


@pytest.mark.parametrize("workers", [0, 2])
def test_a_window_holds_both_and_is_else_as_it_was(workers):
    texts = [(f"report {i} . Report {PAIRS - i} .",) for i in range(PAIRS)]
    plain = loader(workers=workers, wordings=Wordings(texts, seed=0))
    both = loader(workers=workers, wordings=Wordings(texts, seed=0, part="sentences"))
    for whole, window in zip(plain.windows(1), both.windows(1), strict=True):
        assert whole.whole is None
        assert torch.equal(window.whole.tokens, whole.tokens)
        assert torch.equal(window.whole.mask, whole.mask)
        assert window.whole.images is window.images
        assert torch.equal(window.text, whole.text), "positives are those of whole texts"
        assert torch.equal(window.images, whole.images)
        shorter = window.mask.sum(dim=1) < whole.mask.sum(dim=1)
        assert shorter.any()
        assert not shorter.all()


@pytest.mark.parametrize("objective", ["msd", "moco"])
@pytest.mark.parametrize("held", [{}, {"frozen_layers": 1}, {"locked": True}])
def test_a_teacher_reads_the_whole_and_the_student_the_part(fabric, objective, held):
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    shape |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    recipe = tiny_recipe(objective=objective, text=Encoder(type="bert", config=shape, **held))
    model = tiny_model(recipe).double()
    window, other = tiny_window(model, 8), tiny_window(model, 8, seed=1)
    both = replace(window, whole=replace(window, tokens=other.tokens, mask=other.mask))
    method = make_method(recipe, model, fabric)
    teacher = copy.deepcopy(method.teacher)
    method.close_step = lambda student, taken: None
    student, steps = fabric.setup_module(model), Steps(model)
    total = train_window(fabric, student, method, both, batching=Batching(4, 8), optimizer_step=steps)
    expected = teacher(window.images, other.tokens, other.mask)
    torch.testing.assert_close(method.own.text, expected.text)
    torch.testing.assert_close(method.own.image, expected.image)
    by_hand = method.loss(model(*window.inputs), window, slice(0, 8))
    torch.testing.assert_close(total, by_hand.to(total.dtype))
    read_alike = method.loss(model(*both.whole.inputs), window, slice(0, 8))
    assert (read_alike - by_hand).abs() > 1e-3
