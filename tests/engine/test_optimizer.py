import copy
import logging
from unittest.mock import Mock

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

from medistill.engine.optimizer import (
    can_fuse,
    load_optimizer,
    make_fabric,
    make_optimizer,
    scaler_of,
    take_step,
)
from medistill.errors import CallError
from tests.conftest import tiny_model


def test_norms_biases_and_the_scale_do_not_decay():
    model = tiny_model()
    decayed, others = make_optimizer(model, lr=1e-3, weight_decay=0.1).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    free = {names[id(p)] for p in others["params"]}
    assert "log_scale" in free
    assert any("LayerNorm.weight" in name for name in free)
    assert all(name == "log_scale" or name.endswith("bias") or "orm" in name for name in free)
    assert len(decayed["params"]) + len(others["params"]) == len(names)


def test_a_step_is_scaled_down_to_the_clipping_norm():
    model = nn.Linear(2, 1, bias=False)
    fabric = Fabric(accelerator="cpu", devices=1)
    module, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), lr=1.0))
    before = model.weight.detach().clone()
    fabric.backward(1000 * module(torch.ones(1, 2)).sum())
    assert take_step(fabric, module, optimizer, 0.5)
    assert float((model.weight.detach() - before).norm()) == pytest.approx(0.5, rel=1e-4)
    assert model.weight.grad is None


@pytest.fixture
def half():
    """A model under an fp16 scaler, on the CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler=scaler))
    model = nn.Linear(2, 1)
    return fabric, *fabric.setup(model, torch.optim.SGD(model.parameters(), lr=0.1))


def test_a_step_the_scaler_takes_counts(half):
    fabric, module, optimizer = half
    before = copy.deepcopy(module.state_dict())
    fabric.backward(module(torch.ones(1, 2)).sum())
    assert take_step(fabric, module, optimizer, 1.0)
    assert not torch.equal(module.state_dict()["weight"], before["weight"])


def test_a_step_the_scaler_skips_does_not_count_and_changes_nothing(half):
    fabric, module, optimizer = half
    before = copy.deepcopy(module.state_dict())
    scale = scaler_of(fabric).get_scale()
    fabric.backward(module(torch.full((1, 2), 1e30)).sum())
    assert not take_step(fabric, module, optimizer, 1.0)
    assert torch.equal(module.state_dict()["weight"], before["weight"])
    assert scaler_of(fabric).get_scale() < scale


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is about machines without a card")
def test_precision_is_float32_on_a_cpu_and_fp16_is_refused_there():
    assert type(make_fabric("auto").strategy.precision).__name__ == "Precision"
    with pytest.raises(CallError, match="needs a CUDA card"):
        make_fabric("fp16")


def stepped(fused: bool, state=None):
    """A model after a step, and its optimizer; `state` is taken up before."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make_optimizer(model, lr=1e-2, weight_decay=0.1, fused=fused)
    if state:
        load_optimizer(optimizer, copy.deepcopy(state))
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("before", [False, True])
def test_a_checkpoint_brings_back_moments_but_not_its_kernels(before):
    _, saved = stepped(before)
    model, taken_up = stepped(not before, saved.state_dict())
    again, alike = stepped(before, saved.state_dict())
    assert [bool(group["fused"]) for group in taken_up.param_groups] == [not before] * 2
    assert [float(state["step"]) for state in taken_up.state.values()] == [2.0, 2.0]
    torch.testing.assert_close(model.state_dict(), again.state_dict(), rtol=1e-6, atol=1e-8)
    assert [bool(group["fused"]) for group in alike.param_groups] == [before] * 2


def on(device: str, scaler: object = None) -> Fabric:
    fabric = Mock(spec=Fabric)
    fabric.device, fabric.strategy.precision.scaler = torch.device(device), scaler
    return fabric


def test_a_card_steps_by_fused_kernels_but_not_under_fp16():
    assert can_fuse(on("cuda"))
    assert not can_fuse(on("cuda", object()))
    assert not can_fuse(on("cpu"))


def test_lightning_has_nothing_to_say_at_a_start(caplog):
    with caplog.at_level(logging.INFO, logger="lightning_fabric"):
        make_fabric("bf16")
        logging.getLogger("lightning_fabric.utilities.rank_zero").info("what card to use how")
    assert not caplog.records
