"""What a plan says, for people and for scripts; memory in and out of text."""

from typing import Any

from medistill.engine.batching import TOWERS
from medistill.engine.objectives import steps_every
from medistill.engine.plan.plan import MARGIN, Plan
from medistill.html.words import in_units
from medistill.recipe import Recipe


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan as plain values."""
    fixed, a_pair = plan.line
    first, own, planned = plan.measures[0], plan.recipe, plan.planned
    return {
        "recipe": own.name,
        "objective": own.objective,
        "device": first.device,
        "precision": first.precision,
        "memory_bytes": plan.memory,
        "memory_asked": plan.limited,
        "margin": MARGIN,
        "window": own.window,
        "micro_batch": own.micro_batch,
        "peak_bytes": plan.peak(own.micro_batch),
        "fits": planned == own,
        "largest_micro_batch": plan.largest,
        "largest_peak_bytes": plan.peak(plan.largest),
        "fixed_bytes": round(fixed),
        "library_bytes": first.libraries,
        "pair_bytes": round(a_pair),
        "validation_peak_bytes": plan.validation or None,
        "largest_image_micro_batch": plan.largest_pass("image") if plan.towers else None,
        "largest_text_micro_batch": plan.largest_pass("text") if plan.towers else None,
        "planned_micro_batch": planned.micro_batch,
        "planned_image_micro_batch": planned.image_micro_batch,
        "planned_text_micro_batch": planned.text_micro_batch,
        "planned_micro_per_step": steps_every(planned),
        "pairs_per_second": plan.pairs_per_second,
        "pairs_per_epoch": plan.pairs or None,
        "seconds_per_epoch": plan.pairs / plan.pairs_per_second if plan.pairs else None,
        "measured": [{"micro_batch": m.micro_batch, "peak_bytes": m.peak} for m in plan.measures],
        "assumed": assumptions(plan),
    }


def summary(plan: Plan) -> list[str]:
    """The plan in lines for people."""
    own, planned, (fixed, a_pair) = plan.recipe, plan.planned, plan.line
    libraries = plan.measures[0].libraries
    where = "asked for" if plan.limited else f"free on this {'machine' if libraries else 'card'}"
    size, per_step = own.micro_batch, planned.micro_batch * steps_every(planned)
    verdict = "fits" if planned == own else "does not fit"
    speed = f"{plan.pairs_per_second:.3g} pairs per second at micro-batch {planned.micro_batch}"
    if plan.pairs:
        hours = plan.pairs / plan.pairs_per_second / 3600
        speed += f", {hours:.2g} hours for an epoch of {plan.pairs:,} pairs"
    lines = [
        f"memory      {in_units(plan.memory)} {where}, {MARGIN:.0%} of it left free",
        f"largest     micro-batch {plan.largest}, predicted peak {in_units(plan.peak(plan.largest))}",
        f"{own.name:<11} micro-batch {size}, predicted peak {in_units(plan.peak(size))}: {verdict}",
        f"window      {own.window} pairs, an optimizer step every {per_step}",
        f"peak        {in_units(fixed)} fixed (libraries {in_units(libraries)}) + {in_units(a_pair)} a pair",
        f"speed       {speed}",
        *(f"measured    micro-batch {m.micro_batch}: {in_units(m.peak)}" for m in plan.measures),
        *(f"assumed     {line}" for line in assumptions(plan)),
    ]
    if plan.towers:
        sizes = " and ".join(f"{plan.largest_pass(tower)} {tower}s" for tower in TOWERS)
        lines.insert(2, f"towers      one at a time: passes of {sizes} fit, a step's pairs at most")
    if planned != own:
        lines.append(f"try         medistill train {own.name} {_flags(planned, own)}")
    return lines


def _flags(planned: Recipe, own: Recipe) -> str:
    """What turns a recipe into the planned one."""
    if planned.micro_batch == own.micro_batch:
        return (
            f"--image-micro-batch {planned.image_micro_batch} --text-micro-batch {planned.text_micro_batch}"
        )
    return f"--micro-batch {planned.micro_batch} --micro-per-step {planned.micro_per_step}"


def assumptions(plan: Plan) -> list[str]:
    """What the figures hold for."""
    first = plan.measures[0]
    on_cpu = first.device == "CPU"
    lines = [
        f"{first.device}, precision {first.precision}, objective {plan.recipe.objective}",
        f"every text has {plan.recipe.max_tokens} tokens; a vocabulary of full size; noise for images",
        "no other process takes memory meanwhile; the loader keeps up (its workers are not counted)",
        "keys and inputs of the whole window are counted, not measured",
    ]
    if plan.recipe.image.locked or plan.recipe.text.locked:
        lines.append("features of locked towers are kept: computing them, once, is not counted")
    if on_cpu:
        lines.append("resident memory of one process, interpreter and libraries included")
        lines += ["a card in bf16 takes less: measured on this CPU for want of one"] * plan.limited
    else:
        lines.append("what PyTorch takes of the card; the CUDA context is in the part left free")
    return lines
