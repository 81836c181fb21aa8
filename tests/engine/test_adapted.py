"""Adapted towers at work: their gradient, their memory, and a run that is taken up again."""

import copy
import dataclasses

import pytest
import torch
from benchmarks.adapters import counted

from medistill.engine.checkpoint import load_checkpoint
from medistill.engine.objectives import make_method
from medistill.engine.plan.probe import _measured
from medistill.engine.step import Batching
from medistill.model.adapters import ALPHA, adapt, adapted_layers, merged_weights
from medistill.model.saved import load
from medistill.pretrain import pretrain
from medistill.recipe import Encoder, from_config, to_config
from tests.conftest import tiny_model, tiny_recipe, tiny_window
from tests.engine.test_memory_shortage import trained
from tests.model.test_adapters import adapted_model, adapted_recipe
from tests.test_pretrain import BrokenOff, assert_same_weights, break_off_after, silent, weights

pytest.importorskip("peft", reason="pip install 'medistill[lora]'")
RANKS = {"image": 2, "text": 4}
OBJECTIVES = {
    "msd": {"objective": "msd"},
    "msd with a live term": {"objective": "msd", "live_share": 0.3},
    "gradcache": {"objective": "gradcache"},
}


def gradient(fabric, method, model, micro: int) -> dict[str, torch.Tensor]:
    """Of one optimizer step over a window of 8 pairs."""
    return trained(fabric, model, method, Batching(micro, 8))[0]


def with_soft_targets(method):
    """With a teacher that counts."""
    if hasattr(method, "settings"):
        method.settings = method.settings._replace(alpha=0.3, momentum=1.0)
    return method


@pytest.mark.parametrize("changes", OBJECTIVES.values(), ids=OBJECTIVES)
def test_the_gradient_of_adapters_is_that_of_the_merged_weights_by_the_chain_rule(fabric, trained, changes):
    """W = base + s B A: A receives s B' G and B receives s G A', with G of the whole batch at once."""
    recipe = dataclasses.replace(adapted_recipe(trained), **changes)
    student = adapted_model(trained).double()
    plain = load(trained).double().train()
    plain.load_state_dict(merged_weights(student))
    teacher = copy.deepcopy(student)
    with torch.no_grad():
        for name, p in teacher.named_parameters():
            if "lora_B" in name:
                p.mul_(0.5)
    method = with_soft_targets(make_method(recipe, student, fabric))
    reference = with_soft_targets(make_method(recipe, plain, fabric))
    if changes["objective"] == "msd":
        method.teacher.load_state_dict(teacher.state_dict())
        reference.teacher.load_state_dict(merged_weights(teacher))
    micro = 8 if changes.get("live_share") else 3  # the live term compares within a micro-batch
    found = gradient(fabric, method, student, micro)
    whole = gradient(fabric, reference, plain, 8)
    names = adapted_layers(student)
    assert len(names) == 16
    for name, layer in names.items():
        scale = ALPHA / RANKS[name.partition(".")[0]]
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        slope = whole[f"{name}.weight"]
        for part, expected in (("A", scale * b.T @ slope), ("B", scale * slope @ a.T)):
            torch.testing.assert_close(
                found[f"{name}.lora_{part}.default.weight"], expected.detach(), rtol=1e-9, atol=1e-10
            )
    for name in ("log_scale", "image_projection.weight", "text_projection.weight"):
        torch.testing.assert_close(found[name], whole[name], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("frozen", [0, 1])
@pytest.mark.parametrize("objective", ["msd", "gradcache"])
def test_micro_batch_size_does_not_change_the_gradient_of_adapters(fabric, trained, objective, frozen):
    recipe = dataclasses.replace(adapted_recipe(trained, frozen_layers=frozen), objective=objective)

    def split(micro: int) -> dict[str, torch.Tensor]:
        model = adapted_model(trained, frozen_layers=frozen).double().train()
        return gradient(fabric, with_soft_targets(make_method(recipe, model, fabric)), model, micro)

    torch.testing.assert_close(split(3), split(8), rtol=1e-9, atol=1e-10)


def memory_beside_clip(fabric, *, adapted: bool) -> float:
    """What msd takes over clip, as a share of clip's, where both keep both towers' activations."""
    shape = {"hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 256, "num_hidden_layers": 3}
    image = Encoder(type="vit", config={**shape, "patch_size": 8})
    towers = {"image": image, "text": Encoder(type="bert", config=shape)}
    taken = {}
    for objective in ("clip", "msd"):
        recipe = tiny_recipe(**towers, objective=objective, live_share=0.3)
        model = tiny_model(recipe).train()
        for tower in (model.image, model.text) if adapted else ():
            adapt(tower, 1, "text")
        taken[objective] = counted(fabric, recipe, model, tiny_window(model))
    return taken["msd"] / taken["clip"] - 1


def test_with_adapters_msd_takes_less_than_3_percent_more_memory_than_clip(fabric):
    assert 0 < memory_beside_clip(fabric, adapted=True) < 0.03
    assert memory_beside_clip(fabric, adapted=False) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["msd", "gradcache"])
def test_a_run_with_adapters_resumes_to_the_same_bits(trained, tiny_corpus, tmp_path, objective):
    recipe = dataclasses.replace(
        adapted_recipe(trained), objective=objective, checkpoint_seconds=0.0, log_every=1
    )
    assert from_config(to_config(recipe)) == recipe
    pretrain(recipe, tiny_corpus, tmp_path / "one", watch=silent)
    with pytest.raises(BrokenOff):
        pretrain(recipe, tiny_corpus, tmp_path / "two", watch=break_off_after(6))
    pretrain(recipe, tiny_corpus, tmp_path / "two", watch=silent)
    assert_same_weights(tmp_path / "one", tmp_path / "two")
    moved = {name for name, p in weights(tmp_path / "two").items() if "lora_B" in name and p.any()}
    assert len(moved) == (32 if objective == "msd" else 16)  # the teacher's as well
    assert load(tmp_path / "two").encode_texts(["heart"]).isfinite().all()


def test_a_checkpoint_holds_the_base_once(trained, tiny_corpus, tmp_path):
    pretrain(
        dataclasses.replace(adapted_recipe(trained), epochs=1), tiny_corpus, tmp_path / "run", watch=silent
    )
    state = load_checkpoint(tmp_path / "run" / "checkpoints")
    student, teacher = state["student"], state["method"]["teacher"]
    same = {
        n
        for n, t in student.items()
        if t.untyped_storage().data_ptr() == teacher[n].untyped_storage().data_ptr()
    }
    learning = {name for name, p in adapted_model(trained).named_parameters() if p.requires_grad}
    assert set(student) - same == learning


def test_a_plan_measures_adapters_and_not_the_weights_they_adapt(trained):
    measured = _measured(adapted_recipe(trained), validation=False)
    learning = [p for p in adapted_model(trained).parameters() if p.requires_grad]
    assert measured.weights == sum(4 * p.numel() for p in learning)
