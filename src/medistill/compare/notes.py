"""What a reader of the figures must know beside them."""

from collections.abc import Mapping
from typing import Any

from medistill.compare.budget import TITLES


def notes(results: Mapping[str, Any]) -> list[str]:
    """One sentence each, most weighty first."""
    settings = results["settings"]
    first = [*_seed_notes(settings), *_failure_notes(results), *_tuning_notes(results)]
    return [*first, *_time_notes(results), *_memory_notes(results), *_interval_notes(settings)]


def _seed_notes(settings: Mapping[str, Any]) -> list[str]:
    if settings["seeds"] > 1:
        return []
    return ["There is one seed, so there is no interval over seeds and nothing is decided."]


def _tuning_notes(results: Mapping[str, Any]) -> list[str]:
    trials = results["settings"]["trials"]
    if not trials:
        return ["Nothing was tuned: every objective ran at the recipe's learning rate, scale and warm-up."]
    found: list[str] = []
    for label, tuned in results["tuning"].items():
        broken = [trial for trial in tuned["trials"] if trial["failed"]]
        if broken:
            found.append(f"{label}: {len(broken)} of {trials} tuning trials failed ({broken[0]['failed']}).")
        if tuned["edge"]:
            way = "higher" if tuned["edge"] == "largest" else "lower"
            found.append(
                f"{label}: the best trial had the {tuned['edge']} learning rate of all, so one beyond it may "
                f"do better; give it a {way} lr in --settings to find out."
            )
    return found


def _time_notes(results: Mapping[str, Any]) -> list[str]:
    if "time" not in results["budgets"]:
        return []
    baseline = results["settings"]["baseline"]
    known = {label: cost for label, cost in results["cost_of_pair_ms"].items() if cost}
    costs = ", ".join(f"{label} {cost:.3g}" for label, cost in known.items())
    processor = "milliseconds of processor time of the training process"
    clock = "milliseconds by the clock" if _on_card(results) else processor
    return [
        f"{TITLES['time'].capitalize()}: whole epochs, as many as fit into what {baseline} needs for "
        f"{results['settings']['recipe']['epochs']}, by the median cost of a pair in the cells before "
        f"({clock}: {costs}); validations are not counted, and what was tuned at equal samples is kept.",
        *_rounding_notes(results["budgets"]["time"], known, baseline),
    ]


def _rounding_notes(by_label: Mapping[str, Any], cost: Mapping[str, float], baseline: str) -> list[str]:
    """Where whole epochs miss equal time by more than a tenth."""
    if baseline not in cost:
        return []
    whole = by_label[baseline]["epochs"] * cost[baseline]
    shares = {label: by_label[label]["epochs"] * cost[label] / whole for label in cost}
    return [
        f"{label}: whole epochs give it {share:.0%} of {baseline}'s time; with more epochs it comes closer."
        for label, share in shares.items()
        if abs(share - 1) > 0.1
    ]


def _memory_notes(results: Mapping[str, Any]) -> list[str]:
    """What a peak of memory counts depends on the device."""
    if _on_card(results):
        return ["Peak memory is the most the card held for tensors."]
    return ["Peak memory is the training process's resident set, the libraries it has loaded included."]


def _on_card(results: Mapping[str, Any]) -> bool:
    cells = [cell for by_label in results["budgets"].values() for cell in by_label.values() if cell["costs"]]
    return any(cell["costs"]["device"] != "cpu" for cell in cells)


def _failure_notes(results: Mapping[str, Any]) -> list[str]:
    if not any(s["failed"] for by_label in results["budgets"].values() for s in by_label.values()):
        return []
    return [
        "A failed objective has no mean and no difference: the seeds that survived are those it did well on."
    ]


def _interval_notes(settings: Mapping[str, Any]) -> list[str]:
    rivals = len(settings["objectives"]) - 1
    if rivals < 2:
        return []
    return [
        f"Each interval holds at 95 % by itself; of {rivals} rivals one is more likely to pass by chance."
    ]
