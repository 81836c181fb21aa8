"""Several models on the same cases, against slow loops over the same resamples."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medistill.evaluate.comparison import Entrant, compared
from medistill.evaluate.evaluation import evaluate_model
from medistill.evaluate.pages.comparison import comparison_page
from medistill.evaluate.pages.differences import signed, verdict
from medistill.evaluate.protocols.evaluation import evaluate_protocols
from medistill.evaluate.statistics.auroc_variance import auroc_difference
from medistill.evaluate.statistics.interval import Figure
from medistill.model.any_model import public_name
from medistill.model.saved import save_model
from medistill.system.json_files import canonical_json
from tests.conftest import tiny_model
from tests.evaluate.conftest import FINDINGS, FakeCorpus, KnowingModel, fake_rows, unit
from tests.evaluate.pages.test_evaluation import Balanced

RESAMPLES = 40
SIZES = {"train": 160, "val": 60, "test": 120}
"""Those of the fixture `corpus`, which holds the same rows."""


class Blurred(KnowingModel):
    """Sees the findings through noise that is mostly that of the image, whichever model looks."""

    def __init__(self, noise: float, own: int) -> None:
        self.noise, self.own = noise, own

    def encode_images(self, images):
        rows = super().encode_images(images)
        shared, own = (np.stack([self._drawn(image, seed) for image in images]) for seed in (0, self.own))
        return unit(rows + self.noise * (shared + 0.3 * own))

    def _drawn(self, image, seed):
        return np.random.default_rng([seed, *image.reshape(-1).tolist()]).standard_normal(16) / 4


MODELS = {"A": Blurred(2.0, 1), "B": Blurred(2.6, 2), "C": Blurred(2.0, 1)}


def entrant(label, model, corpus, **given):
    evaluation = evaluate_model(model, corpus, resamples=RESAMPLES, draws=3, **given)
    return Entrant(label=label, name="m", metrics=evaluation.metrics, account=evaluation.protocol)


@pytest.fixture(scope="module")
def entrants():
    corpus = FakeCorpus({name: fake_rows(n, name) for name, n in SIZES.items()})
    return [entrant(label, model, corpus) for label, model in MODELS.items()]


@pytest.fixture
def comparison(entrants):
    return compared(entrants)


def scores_of(model, corpus):
    """Zero-shot scores and labels of the test studies in the order of their ids, without our code."""
    rows = corpus.split("test")
    order = np.argsort(rows.study_ids)
    images = model.encode_images([rows.image(i) for i in order])
    columns = []
    for finding in FINDINGS:
        sides = [
            model.encode_texts([text.format(finding) for text in texts]).mean(axis=0)
            for texts in (("{}", "There is {}."), ("No {}.", "There is no {}."))
        ]
        present, absent = (side / np.linalg.norm(side) for side in sides)
        columns.append(images @ (present - absent))
    return np.stack(columns, axis=1), rows.labels[order], [rows.patient_ids[i] for i in order]


def test_the_paired_interval_is_that_of_a_loop_over_drawn_patients(corpus, comparison):
    """Patients are drawn with all their images, the same for both models; each AUROC by scikit-learn."""
    (one, labels, patients), (other, _, _) = (scores_of(MODELS[label], corpus) for label in "BA")
    ids = sorted(set(patients))
    cases = {patient: [i for i, p in enumerate(patients) if p == patient] for patient in ids}
    generator = np.random.default_rng([0])
    for f, finding in enumerate(FINDINGS):
        generator = np.random.default_rng([0])
        differences = []
        for _ in range(RESAMPLES):
            drawn = [i for place in generator.integers(0, len(ids), len(ids)) for i in cases[ids[place]]]
            y = labels[drawn, f]
            differences.append(roc_auc_score(y, one[drawn, f]) - roc_auc_score(y, other[drawn, f]))
        found = comparison["tasks"]["zero_shot"][f"auroc/{finding}"]["differences"]["B"]
        whole = roc_auc_score(labels[:, f], one[:, f]) - roc_auc_score(labels[:, f], other[:, f])
        assert found["value"] == pytest.approx(whole, abs=1e-6)
        low, high = np.percentile(differences, [2.5, 97.5])
        assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-6)
        expected = auroc_difference(one[:, f], other[:, f], labels[:, f] == 1, patients)
        assert found["p"] == pytest.approx(expected["p"], abs=1e-6)
        assert found["p_method"] == "Obuchowski 1997"


def test_a_model_differs_from_itself_in_nothing(comparison):
    for task, entries in comparison["tasks"].items():
        for name, told in entries.items():
            found = told["differences"]["C"]
            if found["value"] is None:
                continue
            assert (found["value"], found["low"], found["high"]) == (0, 0, 0), (task, name)
            assert not found["excludes_zero"]
            assert found.get("p") is None


def test_pairing_makes_intervals_narrower_where_models_find_the_same_cases_hard(entrants, comparison):
    """As wide as independent ones they would be with variances that add."""
    for task, name in (
        ("zero_shot", "auroc_macro"),
        ("retrieval", "i2t_r@10"),
        ("few_shot", "auroc_macro@16"),
    ):
        alone = [e.metrics[task][name].spread.std() for e in entrants[:2]]
        found = comparison["tasks"][task][name]["differences"]["B"]
        unpaired = 2 * 1.96 * np.hypot(*alone)
        assert found["high"] - found["low"] < 0.9 * unpaired, name


def test_every_figure_of_every_model_is_there_with_a_difference_or_its_reason(entrants, comparison):
    assert set(comparison["tasks"]) == set(entrants[0].metrics)
    for task, entries in comparison["tasks"].items():
        assert set(entries) == set(entrants[0].metrics[task])
        for told in entries.values():
            assert set(told["values"]) == {"A", "B", "C"}
            assert set(told["differences"]) == {"B", "C"}
            for entry in told["differences"].values():
                assert entry["n_images"] and entry["n_patients"]
                assert entry["value"] is not None or entry["reason"]


def test_a_difference_that_holds_or_excludes_zero_says_so(comparison):
    every = [told["differences"]["B"] for e in comparison["tasks"].values() for told in e.values()]
    known = [entry for entry in every if entry["value"] is not None]
    assert {entry["reason"].partition(":")[0] for entry in every if entry not in known} == {
        "not defined for model A"  # precision@100 of a gallery of fewer reports
    }
    for entry in known:
        assert entry["excludes_zero"] == (entry["low"] > 0 or entry["high"] < 0)
    count = comparison["differences"]
    assert count["without"] == 2 * (len(every) - len(known))
    assert 0 < count["excluding_zero"] < count["with_interval"]


def test_what_is_no_figure_of_a_model_is_not_counted(comparison):
    entries = comparison["tasks"]["retrieval"]
    assert entries["chance_r@10"]["differences"]["B"]["value"] == 0
    every = [
        entry for e in comparison["tasks"].values() for t in e.values() for entry in t["differences"].values()
    ]
    known = [entry for entry in every if entry["value"] is not None]
    assert comparison["differences"]["with_interval"] == len(known) - 2


def test_a_task_that_one_model_lacks_stands_there_with_the_reason(entrants):
    less = replace(entrants[1], metrics={k: v for k, v in entrants[1].metrics.items() if k != "few_shot"})
    told = compared([entrants[0], less])["tasks"]["few_shot"]["auroc_macro@4"]
    assert told["values"]["A"]["value"] is not None
    assert "no such figure" in told["values"]["B"]["reason"]
    assert told["differences"]["B"]["reason"].startswith("not defined for model B")
    assert told["differences"]["B"]["n_images"] == told["values"]["A"]["n_images"]


def test_figures_of_other_cases_are_not_paired_and_say_so(entrants, corpus):
    rows = corpus.split("test")
    rows.labels[:4] = np.nan
    other = entrant("B", MODELS["B"], corpus)
    comparison = compared([entrants[0], other])
    entry = comparison["tasks"]["zero_shot"]["auroc_macro"]["differences"]["B"]
    assert entry["value"] is None
    assert "different cases" in entry["reason"]
    assert comparison["tasks"]["retrieval"]["i2t_r@1"]["differences"]["B"]["value"] is not None
    assert "different cases cannot be paired" in comparison_page(comparison)
    assert comparison["differences"]["without"] > 0


def test_the_gap_between_groups_is_compared_between_models_in_the_same_resamples(corpus):
    for rows in corpus.rows.values():
        rows.views[:] = ["PA" if i % 3 else "AP" for i in range(len(rows))]
    one, other = (entrant(label, MODELS[label], corpus) for label in "BA")
    task = "zero_shot/view=AP less PA"
    found = compared([other, one])["tasks"][task]["auroc_macro"]["differences"]["B"]
    spreads = [e.metrics[task]["auroc_macro"].spread for e in (one, other)]
    assert (found["low"], found["high"]) == pytest.approx(
        np.percentile(spreads[0] - spreads[1], [2.5, 97.5]).tolist()
    )


def test_holms_p_is_the_step_down_of_a_worked_example():
    """Holm 1979: .01, .04, .03, .005 of four become .03, .06, .06, .02."""
    from medistill.evaluate.comparison import _adjust

    entries = [{"p": p} for p in (0.01, 0.04, 0.03, 0.005)] + [{"p": None}, {"value": 1.0}]
    _adjust(entries)
    assert [entry["p_holm"] for entry in entries[:4]] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert "p_holm" not in entries[4]


def test_shuffled_rows_and_a_second_comparison_give_the_same_bytes(corpus, comparison):
    corpus.rows = {name: rows.shuffled(3) for name, rows in corpus.rows.items()}
    again = compared([entrant(label, model, corpus) for label, model in MODELS.items()])
    assert canonical_json(again) == canonical_json(comparison)
    assert comparison_page(again) == comparison_page(comparison)


def test_protocols_are_compared_figure_by_figure(corpus):
    entrants = [
        Entrant(label=label, name="m", metrics=metrics, account=account)
        for label, model in list(MODELS.items())[:2]
        for metrics, account in [evaluate_protocols(model, corpus, ["labels"], resamples=RESAMPLES)]
    ]
    comparison = compared(entrants)
    assert comparison["headlines"] == [["protocol:labels", "auroc_macro"]]
    entries = comparison["tasks"]["protocol:labels"]
    assert entries["auroc/alpha"]["differences"]["B"]["p"] is not None
    assert isinstance(entrants[0].metrics["protocol:labels"]["ece"], Figure)
    shown = comparison_page(comparison)
    Balanced(shown)
    assert "medistill evaluate A --against B --data CORPUS --protocol labels --out DIR" in shown
    assert "The exact prompts of labels" in shown


def test_the_page_is_whole_and_holds_nothing_of_the_cases(comparison, corpus):
    shown = comparison_page(comparison)
    Balanced(shown)
    assert not re.findall(r"https?://|<script|<img|@import|url\(|<iframe", shown)
    assert "Secret" not in shown
    assert not [known for known in corpus.split("test").patient_ids if known in shown]
    for part in ("There is alpha.", "not adjusted", comparison["of"]["corpus_sha256"]):
        assert part in shown
    assert "medistill evaluate A --against B C --data CORPUS --split test --out DIR" in shown


def test_rows_that_exclude_zero_are_told_without_color(comparison):
    """A sign and a word, a full dot for a hollow one, and weight."""
    shown = comparison_page(comparison)
    section = shown[shown.index('id="differences"') : shown.index('id="findings"')]
    known = [
        told["differences"][label]
        for entries in comparison["tasks"].values()
        for name, told in entries.items()
        for label in "BC"
        if "/" not in name and name not in ("chance_r@10", "i2t_p@100")
    ]
    apart = sum(entry["excludes_zero"] for entry in known)
    assert len(re.findall("[▲▼]\N{NO-BREAK SPACE}(?:better|worse)</td>", section)) == apart
    assert section.count('class="number value"') == apart
    unplotted = [
        r
        for r in re.findall(r"<tr.*?</tr>", section)
        if "▲\N{NO-BREAK SPACE}" in r or "▼\N{NO-BREAK SPACE}" in r
    ]
    assert not [row for row in unplotted if "hollow" in row]
    assert section.count("holds zero</td>") + section.count("the same</td>") == len(known) - apart


@pytest.mark.parametrize(
    ("task", "name", "low", "high", "said"),
    [
        ("zero_shot", "auroc_macro", 0.1, 0.2, "▲ better"),
        ("zero_shot", "auroc_macro", -0.2, -0.1, "▼ worse"),
        ("zero_shot", "ece", 0.1, 0.2, "▲ worse"),
        ("retrieval", "i2t_mean_rank", -0.2, -0.1, "▼ better"),
        ("zero_shot/sex=F less M", "auroc_macro", 0.1, 0.2, "▲ higher"),
        ("retrieval", "chance_r@10", 0.0, 0.0, "same for all"),
        ("zero_shot", "auroc_macro", -0.1, 0.2, "holds zero"),
    ],
)
def test_better_and_worse_know_which_figures_should_be_low(task, name, low, high, said):
    entry = {"value": (low + high) / 2, "low": low, "high": high, "excludes_zero": low > 0 or high < 0}
    assert verdict(task, name, entry).replace("\N{NO-BREAK SPACE}", " ") == said


def test_a_bound_that_rounds_to_zero_keeps_its_sign():
    assert signed({"value": -0.02, "low": -0.04, "high": -0.0003}) == ("-0.020", "-0.040 to -0.000")
    assert signed({"value": 0.0, "low": 0.0, "high": 0.0}) == ("0", "0 to 0")


def test_what_comes_from_outside_is_escaped(comparison):
    evil = "<script>alert(1)</script>"
    comparison["models"]["B"]["name"] = evil
    comparison["of"]["source"] = evil
    comparison["of"]["prompts"] = {evil: {"positive": [evil], "negative": [evil]}}
    assert "<script" not in comparison_page(comparison)


def test_a_models_name_on_a_page_says_nothing_of_its_folder(tmp_path):
    run = tmp_path / "ward-7"
    save_model(tiny_model(), run / "model")
    (run / "config.json").write_text(json.dumps({"name": "small", "objective": "msd"}))
    assert public_name(run) == "small-msd"
    assert public_name(run / "model") == "a model folder"
    assert public_name(f"hf:{run}") == "hf"
    assert public_name("hf:openai/clip-vit-base-patch32") == "hf:openai/clip-vit-base-patch32"
    (run / "weights.pt").touch()
    assert public_name(f"open_clip:ViT-B-32:{run / 'weights.pt'}") == "open_clip:ViT-B-32"
