"""What protocols ask, how prompts are pooled, and calls that are wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest

from medistill.data.corpus import open_corpus
from medistill.errors import CallError
from medistill.evaluate.protocols.cases import cases_to_score, findings_to_score, validation_cases
from medistill.evaluate.protocols.evaluation import evaluate_protocols, run_protocol
from medistill.evaluate.protocols.named import PROTOCOLS, protocol_named
from medistill.evaluate.protocols.prompts import (
    EmbeddedPrompts,
    Wording,
    draw_prompts,
    pooled,
    wording_of,
)
from medistill.model.embedder import UnitEmbedder
from medistill.model.saved import save_model
from tests.cli.test_cli import call, one_line
from tests.conftest import tiny_model
from tests.evaluate.conftest import FakeCorpus, KnowingModel
from tests.planted import phantom_corpus

GLORIA, CHEXPERT, LABELS = (PROTOCOLS[name] for name in ("chexpert-5x200-gloria", "chexpert-5", "labels"))
FIVE = tuple(CHEXPERT.findings)


def unit_rows(n: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, 8))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_pooling_is_that_of_a_plain_loop():
    images, prompts = unit_rows(6, 0), unit_rows(4, 1)
    cosines = [[float(image @ prompt) for prompt in prompts] for image in images]
    mean = [sum(row) / 4 for row in cosines]
    length = float(np.linalg.norm(sum(prompts) / 4))
    assert pooled(images, prompts, "mean") == pytest.approx(mean, abs=1e-5)
    assert pooled(images, prompts, "unit mean") == pytest.approx([value / length for value in mean], abs=1e-5)
    assert pooled(images, prompts, "max") == pytest.approx([max(row) for row in cosines], abs=1e-5)


def test_prompts_that_cancel_out_are_like_nothing():
    prompts = unit_rows(1, 0)
    both = np.concatenate([prompts, -prompts])
    assert (pooled(unit_rows(3, 1), both, "unit mean") == 0).all()


class Spelled:
    """Texts lie on the axis of their last word; images are handed in."""

    axes = {"one": 0, "two": 1, "none": 2}

    def encode_texts(self, texts):
        return np.eye(8, dtype=np.float32)[[self.axes[text.split()[-1]] for text in texts]]

    def encode_images(self, images):
        return np.stack(images)


def test_scores_are_the_positive_side_less_the_negative_one():
    wording = Wording(
        {
            "f": {"positive": ["a one"], "negative": ["no none"]},
            "g": {"positive": ["a two"], "negative": ["b none"]},
        },
        "test",
    )
    images = unit_rows(5, 0)
    scores = EmbeddedPrompts(UnitEmbedder(Spelled()), wording).scores(images, "mean")
    np.testing.assert_allclose(scores, images[:, :2] - images[:, 2:3], atol=2e-6)


def test_only_the_prompts_drawn_are_taken():
    wording = Wording({"f": {"positive": ["a one", "a two"], "negative": []}}, "test")
    images = unit_rows(5, 0)
    scores = EmbeddedPrompts(UnitEmbedder(Spelled()), wording).scores(images, "mean", {"f": [1]})
    np.testing.assert_allclose(scores[:, 0], images[:, 1], atol=1e-6)


def test_templates_are_filled_with_the_words_of_the_finding():
    wording = wording_of(CHEXPERT, FIVE, None)
    assert wording.prompts["pleural effusion"] == {
        "positive": ["Pleural Effusion"],
        "negative": ["no Pleural Effusion"],
    }
    assert wording.origin == "templates of the protocol"
    assert wording_of(LABELS, ("lung_mass",), None).prompts["lung_mass"]["positive"] == [
        "lung mass",
        "There is lung mass.",
    ]


def test_prompts_of_our_own_say_so():
    wording = wording_of(GLORIA, tuple(GLORIA.findings), None)
    assert wording.origin == "written by medistill"
    assert not wording.has_negative


def test_given_prompts_take_the_place_of_both_sides_whatever_their_case():
    given = {finding.title(): {"positive": [f"My {finding}."], "negative": []} for finding in FIVE}
    wording = wording_of(CHEXPERT, FIVE, given)
    assert wording.prompts["edema"] == {"positive": ["My edema."], "negative": []}
    assert tuple(wording.prompts) == FIVE
    assert wording.origin == "given in a file"


def test_the_corpus_may_write_its_findings_in_another_case_than_the_file():
    given = {"left effusion": {"positive": ["Fluid."], "negative": ["Dry."]}}
    assert wording_of(LABELS, ("Left Effusion",), given).prompts["Left Effusion"]["positive"] == ["Fluid."]


def test_classes_take_no_denials():
    given = {finding: {"positive": ["yes"], "negative": ["no"]} for finding in FIVE}
    assert not wording_of(GLORIA, FIVE, given).has_negative


def test_a_file_that_names_only_some_findings_is_refused():
    given = {"edema": {"positive": ["a"], "negative": []}}
    with pytest.raises(CallError, match="name no 'atelectasis', which protocol chexpert-5 scores"):
        wording_of(CHEXPERT, FIVE, given)


def test_denials_of_some_findings_alone_are_refused():
    given = {finding: {"positive": ["a"], "negative": []} for finding in FIVE}
    with pytest.raises(CallError, match="some findings have negative prompts and some have none"):
        wording_of(CHEXPERT, FIVE, given | {"edema": {"positive": ["a"], "negative": ["b"]}})


def test_drawn_prompts_are_fixed_by_the_seed_and_the_run_without_repeats():
    protocol = PROTOCOLS["chexpert-5x200-medclip"]
    wording = wording_of(protocol, tuple(protocol.findings), None)
    drawn = [draw_prompts(protocol, wording, seed=0, run=run) for run in range(protocol.runs)]
    assert drawn == [draw_prompts(protocol, wording, seed=0, run=run) for run in range(protocol.runs)]
    assert draw_prompts(protocol, wording, seed=1, run=0) != drawn[0]
    assert all(draw != drawn[0] for draw in drawn[1:])
    for draw in drawn:
        for finding, places in draw.items():
            count = len(wording.prompts[finding]["positive"])
            assert len(set(places)) == len(places) == min(10, count)
            assert set(places) <= set(range(count))


def test_over_draws_every_prompt_comes_up():
    wording = Wording({"f": {"positive": [str(i) for i in range(12)], "negative": []}}, "test")
    drawn = [draw_prompts(GLORIA, wording, seed=0, run=run)["f"] for run in range(60)]
    counts = np.bincount(np.concatenate(drawn), minlength=12)
    assert counts.sum() == 60 * 5
    assert counts.min() >= 10


def test_a_protocol_that_draws_nothing_takes_all():
    assert draw_prompts(CHEXPERT, wording_of(CHEXPERT, FIVE, None), seed=0, run=0) is None


def one_line_from(call, said):
    with pytest.raises(CallError, match=said) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_corpus_of_another_kind_is_refused(corpus):
    one_line_from(
        lambda: run_protocol(PROTOCOLS["rsna"], UnitEmbedder(KnowingModel()), corpus),
        "protocol rsna is for a corpus from `prepare rsna`, this one is from folder; protocol labels takes",
    )


def test_a_finding_that_the_corpus_does_not_label_is_named(corpus):
    corpus.card["source"] = "chexpert"
    one_line_from(
        lambda: findings_to_score(CHEXPERT, corpus),
        "the corpus does not label 'atelectasis', which protocol chexpert-5 scores",
    )
    corpus.findings = ()
    one_line_from(lambda: findings_to_score(LABELS, corpus), "does not label any finding")


def test_a_split_that_is_not_there_is_named(corpus):
    del corpus.rows["test"]
    one_line_from(
        lambda: cases_to_score(LABELS, corpus, ("alpha",)),
        r"protocol labels needs one split test, there are train, val$",
    )
    one_line_from(
        lambda: cases_to_score(GLORIA, corpus, ("alpha",)),
        r"needs one split 5x200-\*, there are train, val; `prepare` draws it with --subset-seed",
    )


def test_images_of_several_classes_or_of_none_are_not_scored_as_one_of_them(corpus):
    protocol = replace(GLORIA, split="test", unit="study")
    rows = corpus.rows["test"]
    rows.labels[:4] = [[1, 1, 0], [np.nan, np.nan, np.nan], [np.nan, np.nan, 1], [-1, 0, 1]]
    studies = cases_to_score(protocol, corpus, ("alpha", "beta", "gamma")).studies
    assert ((studies.labels == 1).sum(axis=1) == 1).all()
    assert not {rows.study_ids[0], rows.study_ids[1]} & set(studies.study_ids)
    assert {rows.study_ids[2], rows.study_ids[3]} <= set(studies.study_ids)


def test_a_split_without_a_case_is_refused(corpus):
    corpus.rows["test"].labels[:] = 0
    one_line_from(
        lambda: cases_to_score(replace(GLORIA, split="test", unit="study"), corpus, ("alpha", "beta")),
        "split test holds no case that protocol chexpert-5x200-gloria could score",
    )


@pytest.mark.parametrize("unlabeled", [np.nan, -1.0])
def test_validation_cases_without_labels_are_none(corpus, unlabeled):
    cases = cases_to_score(LABELS, corpus, ("alpha",))
    assert validation_cases(LABELS, corpus, ("alpha",), cases).split == "val"
    corpus.rows["val"].labels[:] = unlabeled
    assert validation_cases(LABELS, corpus, ("alpha",), cases) is None
    del corpus.rows["val"]
    assert validation_cases(LABELS, corpus, ("alpha",), cases) is None


def test_the_cases_tested_are_no_validation_cases(corpus: FakeCorpus):
    protocol = replace(LABELS, split="val")
    cases = cases_to_score(protocol, corpus, ("alpha",))
    assert validation_cases(protocol, corpus, ("alpha",), cases) is None


def test_all_findings_beside_the_mean_leave_it_undefined(corpus):
    protocol = replace(LABELS, apart=corpus.findings)
    found = run_protocol(protocol, UnitEmbedder(KnowingModel()), corpus, resamples=10)[0]
    assert found["auroc_macro"]["value"] is None
    assert found["auroc/alpha"]["value"] == 1.0


def test_an_unknown_protocol_lists_those_there_are():
    with pytest.raises(CallError, match="no protocol `rsna2`; there are ") as error:
        protocol_named("rsna2")
    assert all(name in str(error.value) for name in PROTOCOLS)


def test_all_protocols_are_checked_before_the_first_is_scored(corpus):
    class Untouched(KnowingModel):
        def encode_images(self, images):
            raise AssertionError

    one_line_from(lambda: evaluate_protocols(Untouched(), corpus, ["labels", "rsna"]), "protocol rsna is for")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return phantom_corpus(tmp_path_factory.mktemp("phantoms") / "corpus", count=60)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    save_model(tiny_model(), folder)
    return folder


def test_the_command_scores_by_protocols(phantoms, saved, tmp_path, capsys):
    out = tmp_path / "out"
    status = call(
        "evaluate", saved, "--data", phantoms, "--protocol", "phantom", "labels", "--out", out, "--json"
    )
    said = capsys.readouterr()
    assert status == 0
    metrics = json.loads(said.out)
    assert set(metrics) == {"protocol:phantom", "protocol:labels"}
    assert metrics == json.loads((out / "metrics.json").read_text())
    assert "phantom auroc_macro" in said.err
    assert "labels auroc_macro" in said.err
    account = json.loads((out / "evaluation.json").read_text())["protocols"]
    assert account["labels"]["n_images"] == metrics["protocol:labels"]["auroc_macro"]["n_images"]
    assert "Why figures of the same images differ" in (out / "page.html").read_text()


def test_the_command_takes_prompts_from_a_file(phantoms, saved, tmp_path):
    findings = open_corpus(phantoms).findings
    given = {
        finding: {"positive": [f"heart {i}"], "negative": ["lung"]} for i, finding in enumerate(findings)
    }
    (tmp_path / "mine.json").write_text(json.dumps(given))
    arguments = ("--data", phantoms, "--prompts", tmp_path / "mine.json", "--out", tmp_path / "out")
    assert call("evaluate", saved, *arguments, "--protocol", "labels") == 0
    account = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert account["protocols"]["labels"]["prompts"] == given
    assert "--prompts PROMPTS" in (tmp_path / "out" / "page.html").read_text()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--protocol", "phantom", "--split", "val"), "leave out --split"),
        (("--protocol", "nonsense"), "no protocol `nonsense`; there are "),
        (("--protocol", "labels", "rsna"), "protocol rsna is for a corpus from `prepare rsna`"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(phantoms, saved, tmp_path, capsys, flags, said):
    out = tmp_path / "out"
    assert call("evaluate", saved, "--data", phantoms, "--out", out, *flags) == 2
    assert said in one_line(capsys)
    assert not out.exists()


def test_prompts_for_retrieval_alone_are_refused():
    given = {"edema": {"positive": ["Edema."], "negative": []}}
    with pytest.raises(CallError, match="leave out --prompts"):
        evaluate_protocols(None, None, ["openi-retrieval"], prompts=given)
