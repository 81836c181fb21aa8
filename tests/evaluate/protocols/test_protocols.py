"""Every named protocol on a tiny data set of its own layout: perfect, blind, repeated, shuffled."""

from collections.abc import Callable
from html import unescape
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")
from medistill.data.corpus import Corpus, open_corpus
from medistill.evaluate.pages.protocols import protocol_page
from medistill.evaluate.protocols.evaluation import evaluate_protocols, protocol_examples
from medistill.evaluate.protocols.named import PROTOCOLS
from medistill.evaluate.protocols.protocol import Protocol
from medistill.evaluate.run import write_protocols
from medistill.evaluate.statistics.interval import TOO_FEW
from medistill.evaluate.tasks.examples import Example, Shown
from medistill.system.json_files import canonical_json
from tests.evaluate.protocols.published_trees import MARK, prepared
from tests.evaluate.protocols.told_models import Blind, Noisy, Perfect, key_of
from tests.hostile import EVIL, assert_escaped, hostile
from tests.planted import Row, planted

NAMES = tuple(PROTOCOLS)
FIVE = ("chexpert-5x200-gloria", "chexpert-5x200-medclip", "chexpert-5x200-cxr-clip")
RESAMPLES = 200


def kind_of(protocol: Protocol) -> str:
    return protocol.sources[0] if protocol.sources else "csv"


@pytest.fixture(scope="module")
def corpus_for(tmp_path_factory) -> Callable[[str], Corpus]:
    """The corpus of a protocol, made when first asked for; those of one kind share it."""
    made: dict[str, Path] = {}

    def corpus(name: str) -> Corpus:
        kind = kind_of(PROTOCOLS[name])
        if kind not in made:
            made[kind] = prepared(kind, tmp_path_factory.mktemp(kind))
        return open_corpus(made[kind])

    return corpus


@pytest.fixture(scope="module")
def shuffled_for(tmp_path_factory, corpus_for) -> Callable[[str], Corpus]:
    """The same with its rows in another order."""
    made: dict[str, Corpus] = {}

    def corpus(name: str) -> Corpus:
        kind = kind_of(PROTOCOLS[name])
        if kind not in made:
            out = tmp_path_factory.mktemp("shuffled") / kind
            made[kind] = planted(corpus_for(name).path, out, shuffle)
        return made[kind]

    return corpus


def shuffle(rows: list[Row]) -> None:
    """Studies in another order; the images of a study keep theirs, for the first one stands for it."""
    ids = sorted({row["study_id"] for row in rows})
    place = dict(zip(ids, np.random.default_rng(1).permutation(len(ids)), strict=True))
    rows.sort(key=lambda row: place[row["study_id"]])


def scored(model, corpus, name):
    metrics, account = evaluate_protocols(model, corpus, [name], resamples=RESAMPLES)
    return metrics[f"protocol:{name}"], account["protocols"][name]


def chance(protocol: Protocol, corpus: Corpus, account) -> float:
    if protocol.task == "findings":
        return 0.5
    if protocol.task == "classes":
        return 1 / len(account["classes"])
    rows = corpus.split(account["split"])
    return 1 / len(set(rows.texts))


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_model_scores_one(name, corpus_for):
    protocol, corpus = PROTOCOLS[name], corpus_for(name)
    metrics, account = scored(Perfect(protocol, corpus), corpus, name)
    assert metrics[protocol.headline]["value"] == 1.0
    assert account["n_images"] >= 40
    best = ("auroc", "ap_macro", "recall", "i2t_r@", "i2t_median", "i2t_mean")
    if name != "phantom":  # its thresholds come from validation cases that do not show every finding
        best = (*best, "accuracy", "f1_macro")
    figures = [entry for key, entry in metrics.items() if key.startswith(best)]
    defined = [entry for entry in figures if entry["value"] is not None]
    assert {entry[bound] for entry in defined for bound in ("low", "value", "high")} - {None} == {1.0}
    assert all(entry["low"] or TOO_FEW in entry["reason"] for entry in defined)


@pytest.mark.parametrize("name", NAMES)
def test_a_blind_model_scores_chance_within_its_interval(name, corpus_for):
    protocol, corpus = PROTOCOLS[name], corpus_for(name)
    metrics, account = scored(Blind(), corpus, name)
    entry = metrics[protocol.headline]
    if TOO_FEW in entry.get("reason", ""):
        assert name == "phantom"  # few of its findings are on enough patients
        return
    assert entry["low"] <= chance(protocol, corpus, account) <= entry["high"]
    assert entry["low"] < entry["value"] < entry["high"]
    assert entry["high"] - entry["low"] < 0.4


@pytest.mark.parametrize("name", NAMES)
def test_a_second_run_and_shuffled_rows_give_the_same_bytes(name, corpus_for, shuffled_for, tmp_path):
    written = []
    for number, corpus in enumerate((corpus_for(name), corpus_for(name), shuffled_for(name))):
        found = evaluate_protocols(Blind(), corpus, [name], resamples=RESAMPLES)
        write_protocols(*found, tmp_path / str(number))
        files = sorted((tmp_path / str(number)).iterdir())
        written.append([file.read_bytes() for file in files])
    assert [file.name for file in files] == ["checksums.json", "evaluation.json", "metrics.json", "page.html"]
    assert written[1] == written[0]
    assert written[2] == written[0]


class Asked(Blind):
    """Keeps what it was asked, in order: the embeddings of most models depend a little on their batch."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[bytes] = []

    def encode_images(self, images):
        self.keys += map(key_of, images)
        return super().encode_images(images)


@pytest.mark.parametrize("name", ["siim", "chexpert-5", "chexpert-5x200-gloria"])
def test_the_model_is_asked_in_an_order_that_is_not_that_of_the_rows(name, corpus_for, shuffled_for):
    plain, shuffled = Asked(), Asked()
    scored(plain, corpus_for(name), name)
    scored(shuffled, shuffled_for(name), name)
    assert shuffled.keys == plain.keys


@pytest.mark.parametrize("name", [name for name in NAMES if PROTOCOLS[name].task == "retrieval"])
def test_retrieval_is_from_images_to_texts_alone(name, corpus_for):
    metrics, account = scored(Blind(), corpus_for(name), name)
    ranks = {"i2t_mean_rank", "i2t_median_rank"}
    assert set(metrics) == {"i2t_r@1", "i2t_r@5", "i2t_r@10", "chance_r@10", *ranks}
    assert "calibration" not in account


@pytest.fixture(scope="module")
def noisy(corpus_for):
    """Three ways to score the same model, better than chance and worse than perfect, on the same images."""
    corpus = corpus_for(FIVE[0])
    model = Noisy(PROTOCOLS[FIVE[0]], corpus)
    return evaluate_protocols(model, corpus, FIVE, resamples=RESAMPLES)


def test_three_ways_to_score_5x200_give_three_accuracies(noisy):
    metrics, account = noisy
    accuracies = [metrics[f"protocol:{name}"]["accuracy"]["value"] for name in FIVE]
    assert len({round(value, 3) for value in accuracies}) == 3
    assert all(0.3 < value < 0.95 for value in accuracies)
    assert {account["protocols"][name]["split"] for name in FIVE} == {"5x200-seed-0"}
    assert {account["protocols"][name]["n_images"] for name in FIVE} == {1000}


def test_the_page_says_why_three_ways_to_score_5x200_differ(noisy):
    shown = protocol_page(*noisy)
    why = shown[shown.index("Why figures of the same images differ") :].split("</section>")[0]
    metrics, _ = noisy
    for name in FIVE:
        assert f">{name}</th>" in why
        assert f"{metrics[f'protocol:{name}']['accuracy']['value']:.3f}" in why
    for told in (
        "5 of ",
        "10 of ",
        "all ",
        "5 draws",
        "transductive",
        "highest cosine",
        "mean of the cosines",
    ):
        assert told in why


def test_pages_without_two_ways_for_the_same_cases_explain_no_difference(noisy):
    metrics, account = noisy
    one = account | {"protocols": {FIVE[0]: account["protocols"][FIVE[0]]}}
    assert "Why figures of the same images differ" not in protocol_page(metrics, one)


def test_what_comes_from_outside_is_escaped(noisy):
    metrics, account = noisy
    published = [{"metric": "accuracy", "value": 0.5, "system": "theirs", "origin": "a table"}]
    filled = {"published": published, "traps": ["a trap"], "apart": ["edema"]}
    account = account | {"protocols": {name: about | filled for name, about in account["protocols"].items()}}
    kept = ("task", "pooling", "unit", "headline")
    example = Example(np.zeros((4, 4), np.uint8), (EVIL,) * 3, EVIL, 9)
    shown = {split: Shown(examples=(example,), texts=3) for split in ("test", EVIL)}
    changed = hostile(account, kept=kept, names=(FIVE[0], "edema"))
    figures = hostile(metrics, names=(FIVE[0], "edema"))
    assert_escaped(protocol_page(figures, changed, shown), protocol_page(metrics, account, shown))


def test_each_case_of_5x200_is_of_the_class_that_is_present(corpus_for):
    """The other four are not stated: an empty cell of CheXpert."""
    corpus = corpus_for(FIVE[0])
    rows = corpus.split("5x200-seed-0")
    assert np.isnan(rows.labels).any(axis=1).all()
    _, account = scored(Blind(), corpus, FIVE[0])
    assert account["classes"] == dict.fromkeys(account["prompts"], 200)
    assert np.sum(account["confusion"], axis=1).tolist() == [200] * 5


def test_findings_with_too_few_positives_are_beside_the_means(corpus_for):
    metrics, account = scored(Blind(), corpus_for("vindr"), "vindr")
    assert {"tuberculosis", "clavicle fracture", "no finding"} <= set(account["apart"])
    assert "pneumonia" not in account["apart"]
    count = metrics["auroc_macro"]["n_findings"]
    assert count + len(account["apart"]) == len(account["prompts"])
    assert metrics["auroc/tuberculosis"]["value"] is not None
    assert metrics["auroc/clavicle fracture"]["value"] is None


def test_no_finding_is_told_and_left_out_of_the_mean_of_chexpert_14(corpus_for):
    metrics, account = scored(Blind(), corpus_for("chexpert-14"), "chexpert-14")
    assert account["apart"] == ["no finding"]
    areas = {name: entry["value"] for name, entry in metrics.items() if name.startswith("auroc/")}
    assert len(areas) == 14
    others = [value for name, value in areas.items() if name != "auroc/no finding"]
    assert metrics["auroc_macro"]["value"] == pytest.approx(np.mean(others))


def test_without_validation_and_denials_only_rankings_are_scored(corpus_for):
    metrics, account = scored(Blind(), corpus_for("nih14"), "nih14")
    assert account["calibration"] == "none: only rankings are scored"
    assert not {"accuracy", "f1_macro", "ece", "brier"} & set(metrics)
    assert metrics["ap_macro"]["value"] is not None


def test_without_validation_denials_take_the_scale_of_the_model(corpus_for):
    metrics, account = scored(Blind(), corpus_for("vindr"), "vindr")
    assert "the model's own scale, threshold 0.5" in account["calibration"]
    assert metrics["accuracy"]["value"] is not None


def test_validation_cases_fit_thresholds_for_one_sided_prompts(corpus_for):
    metrics, account = scored(Blind(), corpus_for("padchest"), "padchest")
    assert account["calibration"].startswith("fitted on validation")
    assert metrics["accuracy"]["value"] is not None


def test_a_study_is_scored_by_its_frontal_image(corpus_for):
    _, account = scored(Blind(), corpus_for("chexpert-5"), "chexpert-5")
    assert (account["n_images"], account["n_patients"]) == (120, 60)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_holds_traps_published_figures_prompts_and_the_command(name, corpus_for):
    corpus = corpus_for(name)
    metrics, account = evaluate_protocols(Blind(), corpus, [name], resamples=20)
    shown, protocol = unescape(protocol_page(metrics, account)), PROTOCOLS[name]
    for told in (*protocol.traps, protocol.reproduces, protocol.about):
        assert told in shown
    for told in protocol.published:
        assert f"<td>{told.value:.3f}</td>" in shown
        here = metrics[f"protocol:{name}"][told.metric]["value"]
        assert here is None or f"<td>{here:.3f}</td>" in shown
    for sides in account["protocols"][name].get("prompts", {}).values():
        for text in (*sides["positive"], *sides["negative"]):
            assert f"<li>{text}</li>" in shown
    assert f"medistill evaluate MODEL --data CORPUS --protocol {name} --out DIR" in shown


@pytest.mark.parametrize("name", NAMES)
def test_neither_page_nor_account_holds_a_text_or_an_id_of_the_corpus(name, corpus_for):
    corpus = corpus_for(name)
    metrics, account = evaluate_protocols(Blind(), corpus, [name], resamples=20)
    written = protocol_page(metrics, account) + canonical_json(account) + canonical_json(metrics)
    rows = corpus.split(account["protocols"][name]["split"])
    assert MARK.lower() not in written.lower()
    assert not [text for text in rows.texts if len(text) > 12 and text in written]
    assert not [
        known for known in (*rows.study_ids, *rows.patient_ids) if len(known) > 5 and known in written
    ]


def test_examples_are_shown_once_a_split_where_asked_for(corpus_for, tmp_path):
    """Two protocols on the same split share them; without them the page says how to get them."""
    corpus = corpus_for("openi")
    names = ["openi", "openi-retrieval"]
    metrics, account = evaluate_protocols(Blind(), corpus, names, resamples=20)
    shown = protocol_examples(Blind(), corpus, account)
    assert list(shown) == list({about["split"] for about in account["protocols"].values()})
    for split, found in shown.items():
        texts = set(corpus.split(split).texts)
        assert 1 <= len(found.examples) <= 6
        for example in found.examples:
            assert {example.own, *example.nearest} <= texts
            assert example.own_rank > 3 or example.nearest[example.own_rank - 1] == example.own
    written = []
    for number in range(2):
        again = protocol_examples(Blind(), corpus, account)
        write_protocols(metrics, account, tmp_path / str(number), shown=again)
        written.append((tmp_path / str(number) / "page.html").read_text())
    assert written[0] == written[1]
    assert written[0].count("<img") == sum(len(found.examples) for found in shown.values())
    assert next(iter(shown.values())).examples[0].own[:20] in unescape(written[0])
    without = protocol_page(metrics, account)
    assert "--with-cases adds" in without
    assert "<img" not in without


def test_a_corpus_without_reports_has_no_examples(corpus_for):
    corpus = corpus_for("rsna")
    metrics, account = evaluate_protocols(Blind(), corpus, ["rsna"], resamples=20)
    shown = protocol_examples(Blind(), corpus, account)
    assert shown == {}
    assert "nearest reports" not in protocol_page(metrics, account, shown)


def test_probabilities_and_calls_of_a_protocol_are_on_its_page_and_in_its_account(corpus_for):
    metrics, account = evaluate_protocols(Blind(), corpus_for("padchest"), ["padchest"], resamples=20)
    about = account["protocols"]["padchest"]
    assert list(about["reliability"]) == ["after"]  # one side of prompts: nothing before fitting
    assert not set(about["calls"]) & set(about["apart"])
    shown = protocol_page(metrics, account)
    for name, told in about["calls"].items():
        counts = [told[key] for key in ("true_positive", "false_negative", "false_positive", "true_negative")]
        assert sum(counts) == metrics["protocol:padchest"][f"auroc/{name}"]["n_images"]
        assert f">{name}</th>" in unescape(shown)
    assert "Calibration curve, after fitting" in shown
    nothing = evaluate_protocols(Blind(), corpus_for("nih14"), ["nih14"], resamples=20)[1]
    assert "calls" not in nothing["protocols"]["nih14"]
