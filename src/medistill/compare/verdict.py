"""Who is ahead of whom, said plainly."""

from collections.abc import Mapping
from typing import Any

from medistill.compare.comparison import TITLES, Comparison
from medistill.compare.results import Estimate

JUDGED = {
    "recall@10 on unique reports": ("retrieval/mean_r@10_unique", "retrieval/i2t_r@10_unique"),
    "16-shot AUROC": ("few_shot/auroc_macro@16",),
}
"""The figures the verdict is about; the second of two where cells of an earlier version have no first."""
_WIDTH = 1e-9
"""An interval narrower than this is rounding."""


def verdict(comparison: Comparison, budgets: Mapping[str, Any]) -> list[str]:
    """One sentence a budget and rival of the baseline."""
    rivals = [entrant.label for entrant in comparison.entrants if entrant.label != comparison.baseline]
    if not rivals:
        return [f"{comparison.baseline} was run alone, so nothing is compared."]
    return [
        f"At {TITLES[budget]}, {sentence(rival, comparison.baseline, by_label)}"
        for budget, by_label in budgets.items()
        for rival in rivals
        if rival in by_label
    ]


def sentence(rival: str, baseline: str, by_label: Mapping[str, Any]) -> str:
    """How a rival stands to the baseline under one budget."""
    for label in (baseline, rival):
        if by_label[label]["failed"]:
            return f"{label} failed ({failed(by_label[label])}): {rival} and {baseline} are not compared."
    differences: Mapping[str, Any] = by_label[rival]["differences"]
    judged = {
        what: [differences[name] for name in names if differences.get(name, {}).get("value") is not None]
        for what, names in JUDGED.items()
    }
    known = {what: entries[0] for what, entries in judged.items() if entries}
    if not known:
        return f"neither figure of the verdict is defined on this corpus for {rival} and {baseline}."
    if all(entry["n_seeds"] < 2 for entry in known.values()):
        said = " and ".join(f"{signed(entry)} points of {what}" for what, entry in known.items())
        return f"nothing is decided between {rival} and {baseline}: one seed each ({said})."
    if all(settled(entry) == 0 for entry in known.values()):
        said = ", ".join(f"{what} {signed(e)} points, {interval(e)}" for what, e in known.items())
        return f"nothing is decided between {rival} and {baseline}: {said}."
    sides = ((1, f"ahead of {baseline} by "), (-1, f"behind {baseline} by "), (0, "not told apart in "))
    clauses = [
        opening + " and ".join(said)
        for side, opening in sides
        if (said := [_clause(what, entry) for what, entry in known.items() if settled(entry) == side])
    ]
    return f"{rival} is {' and '.join(clauses)}."


def settled(entry: Estimate) -> int:
    """1 or -1 if the interval over seeds lies on that side of zero, else 0.

    Seeds that all differ by the same few cases show no spread to judge by: that settles nothing.
    """
    if entry["low"] is None or entry["high"] - entry["low"] < _WIDTH:
        return 0
    return 1 if entry["low"] > 0 else -1 if entry["high"] < 0 else 0


def holds_for_patients(entry: Estimate) -> bool:
    """Whether the interval over patients excludes zero too."""
    low, high = entry["patient_low"], entry["patient_high"]
    return low is not None and (low > 0 or high < 0)


def failed(standing: Mapping[str, Any]) -> str:
    """2 of 5 seeds: why."""
    failure = standing["failed"]
    seeds = f"{len(failure['seeds'])} of {failure['of']} seeds" if failure["of"] else "no seed was run"
    return f"{seeds}: {'; '.join(failure['reasons'])}"


def signed(entry: Estimate) -> str:
    """A difference in points, with its sign."""
    return f"{100 * entry['value']:+.1f}"


def interval(entry: Estimate) -> str:
    """An interval in points."""
    if entry["low"] is None:
        return "no interval"
    low, high = 100 * entry["low"], 100 * entry["high"]
    return f"95 % interval over {entry['n_seeds']} seeds {low:+.1f} to {high:+.1f}"


def _clause(what: str, entry: Estimate) -> str:
    """One figure; a lead over seeds that other patients might not bear out says so."""
    if not settled(entry):
        return f"{what} ({signed(entry)} points, {interval(entry)})"
    low, high = entry["patient_low"], entry["patient_high"]
    doubt = ""
    if not holds_for_patients(entry) and low is not None:
        doubt = f"; but over patients {100 * low:+.1f} to {100 * high:+.1f}, so other patients may differ"
    return f"{abs(100 * entry['value']):.1f} points of {what} ({interval(entry)}{doubt})"


def notes(results: Mapping[str, Any]) -> list[str]:
    """One sentence each, most weighty first."""
    settings = results["settings"]
    first = [*_seed_notes(settings), *_failure_notes(results), *_tuning_notes(results)]
    return [
        *first,
        *_fold_notes(settings),
        *_time_notes(results),
        *_memory_notes(results),
        *_interval_notes(results),
    ]


def _seed_notes(settings: Mapping[str, Any]) -> list[str]:
    if settings["seeds"] > 1:
        return []
    return ["There is one seed, so there is no interval over seeds and nothing is decided."]


def _fold_notes(settings: Mapping[str, Any]) -> list[str]:
    """What folds share, and who is tested although tuning has heard of them."""
    folds, seeds = settings["recipe"].get("folds", 0), settings["seeds"]
    if not folds:
        return []
    said = [
        f"Seed k was trained without fold k of {folds} and tested on it, the same patients for every "
        "objective. An interval over seeds so holds the chance of patients too; it takes seeds for "
        "independent, though any two were trained on many of the same patients."
    ]
    if settings["trials"]:
        said.append(
            "Tuning trained without fold 0 and was judged on patients of the fold after it, whom seed 1 is "
            "tested on by other models: what seed 1 came to, in results.json, is the one to leave out where "
            "three chosen numbers are thought to matter."
        )
    if seeds % folds:
        part = f"{seeds} of {folds} folds are tested" if seeds < folds else "some folds are tested more often"
        said.append(f"With {seeds} seeds {part}; a multiple of {folds} tests every patient alike.")
    return said


def _tuning_notes(results: Mapping[str, Any]) -> list[str]:
    trials = results["settings"]["trials"]
    if not trials:
        return ["Nothing was tuned: each objective ran at the learning rate, scale and warm-up it was given."]
    said: list[str] = []
    for label, tuned in results["tuning"].items():
        broken = [trial for trial in tuned["trials"] if trial["failed"]]
        if broken:
            said.append(f"{label}: {len(broken)} of {trials} tuning trials failed ({broken[0]['failed']}).")
        if tuned["edge"]:
            way = "higher" if tuned["edge"] == "largest" else "lower"
            said.append(
                f"{label}: the best trial had the {tuned['edge']} learning rate of all, so one beyond it may "
                f"do better; give it a {way} lr in --settings to find out."
            )
    return said


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
    there = [label for label in cost if label in by_label]
    shares = {label: by_label[label]["epochs"] * cost[label] / whole for label in there}
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


def _interval_notes(results: Mapping[str, Any]) -> list[str]:
    rivals = len(results["settings"]["objectives"]) - 1
    if rivals < 2:
        return []
    return [
        f"Each interval holds at 95 % by itself; of {rivals} rivals one is more likely to pass by chance."
    ]
