"""Global contrast against a loop over pairs, by autograd alone."""

import copy
import math

import pytest
import torch

from medistill.data.loader import Window
from medistill.engine.fastclip import RHO, FastClip
from medistill.engine.objectives import make_method
from medistill.engine.schedule import gamma_at
from medistill.engine.step import Batching, train_window
from medistill.model.dual import Embeddings
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_step import Steps

PAIRS, MICRO = 12, 4


def estimate(query, keys, i, window, rows, tau):
    """g of the i-th pair of a batch, one negative after the other; None without a negative."""
    terms = [
        ((query[i] @ keys[j] - query[i] @ keys[i]) / tau).exp()
        for j in range(len(query))
        if window.study[rows][j] != window.study[rows][i] and window.text[rows][j] != window.text[rows][i]
    ]
    return sum(terms) / len(terms) if terms else None


def slow_loss(model, window, rows, u, gamma, version):
    """The loss of one batch, whose value is tau (log u + log u) and whose gradient is tau g' / u."""
    part = window.part(rows, torch.device("cpu"))
    image, text, scale, _ = model(*part.inputs)
    tau = 1 / scale if version == "v3" else 1 / scale.detach()
    total = 0
    for i in range(len(part)):
        row = int(part.row[i])
        for side, (query, keys) in enumerate(((image, text), (text, image))):
            g = estimate(query, keys, i, window, rows, tau)
            if g is None:
                continue
            old = u.get((side, row))
            u[side, row] = g.item() if old is None else (1 - gamma) * old + gamma * g.item()
            log_u = math.log(u[side, row])
            total = total + tau * log_u + tau.detach() * (g - g.detach()) / u[side, row]
        if version == "v3":
            total = total + 2 * RHO * tau
    return total / len(part)


@pytest.mark.parametrize("version", ["v1", "v3"])
def test_gradients_over_two_windows_are_those_of_a_slow_loop(fabric, version):
    model = tiny_model(tiny_recipe()).double()
    window = tiny_window(model, PAIRS)
    window.text[8:] = 8  # the last batch has no negative at all
    u, slow = {}, []
    for gamma in (gamma_at(0.2), gamma_at(0.4)):
        for start in range(0, PAIRS, MICRO):
            twin = copy.deepcopy(model)
            loss = slow_loss(twin, window, slice(start, start + MICRO), u, gamma, version)
            if torch.is_tensor(loss):
                loss.backward()
            slow.append(
                {
                    name: torch.zeros_like(p) if p.grad is None else p.grad
                    for name, p in twin.named_parameters()
                }
            )
    method = make_method(tiny_recipe(objective="fastclip", fastclip_version=version), model, fabric)
    steps = Steps(model)
    student = fabric.setup_module(model)
    for progress in (0.2, 0.4):
        method.set_schedule(progress, 0.0)
        train_window(fabric, student, method, window, batching=Batching(MICRO, MICRO), optimizer_step=steps)
    assert len(steps.gradients) == len(slow)
    for fast, plain in zip(steps.gradients, slow, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-12)


def test_version_1_keeps_its_temperature_and_version_3_does_not(fabric):
    for version, moves in (("v1", False), ("v3", True)):
        model = tiny_model(tiny_recipe()).double()
        method = make_method(tiny_recipe(objective="fastclip", fastclip_version=version), model, fabric)
        steps = Steps(model)
        train_window(
            fabric,
            fabric.setup_module(model),
            method,
            tiny_window(model, 4),
            batching=Batching(4, 4),
            optimizer_step=steps,
        )
        assert bool(steps.gradients[0]["log_scale"].abs() > 0) == moves


def unit(rows, width, generator):
    return torch.nn.functional.normalize(torch.randn(rows, width, generator=generator), dim=1)


def window_of(rows):
    nothing = torch.zeros(len(rows), 1, dtype=torch.long)
    images = torch.zeros(len(rows), 1, 1, dtype=torch.uint8)
    return Window(images, nothing, nothing.bool(), study=rows, text=rows, row=rows)


def test_normalizers_come_close_to_those_of_the_whole_corpus_at_temperature_07(fabric):
    """300 fixed pairs in batches of 16: the mean over pairs comes within 5 % of the true one."""
    random = torch.Generator().manual_seed(0)
    image = unit(300, 32, random)
    text = torch.nn.functional.normalize(image + 0.8 * unit(300, 32, random), dim=1)
    scale = torch.tensor(1 / 0.07)
    method = FastClip(version="v1")
    student = fabric.setup_module(torch.nn.Linear(1, 1))
    for epoch in range(60):
        method.set_schedule(epoch / 60, float(epoch))
        for rows in torch.randperm(300, generator=random).split(16):
            window = window_of(rows)
            method.open_window(student, window, Batching(16, 16))
            query = Embeddings(image[rows], text[rows], scale, torch.zeros(()))
            method.loss(query, window, slice(0, len(rows)))
    similar = scale * (image @ text.T - (image * text).sum(dim=1, keepdim=True))
    true = similar.exp().fill_diagonal_(0).sum(dim=1) / 299
    assert float(method.log_u[0].exp().mean() / true.mean()) == pytest.approx(1, abs=0.05)


def test_normalizers_go_on_bit_for_bit(fabric):
    model = tiny_model(tiny_recipe()).double()

    def trained(method, times):
        student = fabric.setup_module(copy.deepcopy(model))
        for _ in range(times):
            method.set_schedule(0.4, 0.0)
            train_window(
                fabric,
                student,
                method,
                tiny_window(model, PAIRS),
                batching=Batching(MICRO, MICRO),
                optimizer_step=Steps(student.module),
            )
        return method

    whole, half = (FastClip(version="v1") for _ in range(2))
    trained(whole, 2)
    state = copy.deepcopy(trained(half, 1).state_dict())
    resumed = FastClip(version="v1")
    resumed.load_state_dict(state)
    assert torch.equal(trained(resumed, 1).log_u, whole.log_u)
    assert not torch.equal(state["log_u"], whole.log_u) or whole.gamma == 0


def test_gamma_falls_from_1_to_a_fifth_over_half_of_the_run():
    assert [round(gamma_at(progress), 3) for progress in (0.0, 0.25, 0.5, 1.0)] == [1, 0.6, 0.2, 0.2]


def test_a_window_without_rows_is_refused(fabric):
    model = tiny_model(tiny_recipe())
    window = tiny_window(model, 4)
    without = Window(window.images, window.tokens, window.mask, window.study, window.text)
    with pytest.raises(ValueError, match="row of the corpus"):
        FastClip(version="v1").open_window(fabric.setup_module(model), without, Batching(4, 4))
