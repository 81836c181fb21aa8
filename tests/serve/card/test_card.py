"""The model card: what the hub reads of it, what a person reads, and what it never says."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import yaml
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from medistill.data.corpus import open_corpus
from medistill.data.folds import in_fold
from medistill.errors import CallError
from medistill.evaluate.run import evaluate_run
from medistill.model.fingerprint import model_hash
from medistill.model.saved import load, save_model
from medistill.pretrain import pretrain
from medistill.serve.card.text import write_card
from medistill.system.checksums import SUMS
from tests.conftest import forget_checksums, tiny_model, tiny_recipe, tiny_texts, write_noise_corpus


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A corpus, a run and its evaluation side by side, as the quickstart leaves them."""
    home = tmp_path_factory.mktemp("home")
    write_noise_corpus(home / "corpus")
    pretrain(tiny_recipe(epochs=1), home / "corpus", home / "run", watch=lambda *_: None)
    evaluate_run(home / "run", home / "corpus", home / "evaluation")
    return SimpleNamespace(run=home / "run", corpus=home / "corpus", evaluation=home / "evaluation")


def written(run, out, **given):
    write_card(run, out, **given)
    return out.read_text("utf-8")


def test_the_card_of_a_fold_counts_what_it_was_trained_on(home, tmp_path):
    recipe = tiny_recipe(epochs=1, folds=3, fold=1)
    pretrain(recipe, home.corpus, tmp_path / "run", watch=lambda *_: None)
    counts = in_fold(open_corpus(home.corpus), fold=1, folds=3).counted_card["splits"]
    text = written(tmp_path / "run", tmp_path / "README.md", data=home.corpus)
    for name, split in counts.items():
        assert f"| {name} | {split['images']} | {split['studies']} | {split['patients']} |" in text
    assert counts["train"]["patients"] != open_corpus(home.corpus).card["splits"]["train"]["patients"]


def moved(home, folder):
    """The run alone, in another folder."""
    return shutil.copytree(home.run, folder / "run")


def test_the_hub_reads_every_defined_figure(home, tmp_path):
    write_card(home.run, tmp_path / "README.md")
    card = ModelCard.load(tmp_path / "README.md")
    metrics = json.loads((home.evaluation / "metrics.json").read_text())
    expected = {
        (task, name): entry["value"]
        for task, entries in metrics.items()
        for name, entry in entries.items()
        if entry["value"] is not None and not name.startswith("chance_")
    }
    found = {(r.task_name, r.metric_name.split(" (")[0]): r.metric_value for r in card.data.eval_results}
    assert found == expected
    assert {result.dataset_split for result in card.data.eval_results} == {"test"}
    assert card.data.model_name == "tiny-msd"
    assert (card.data.license, card.data.pipeline_tag) == ("other", "zero-shot-image-classification")


def test_no_figure_goes_without_interval_and_counts(home, tmp_path):
    text = written(home.run, tmp_path / "README.md")
    metrics = json.loads((home.evaluation / "metrics.json").read_text())
    data = yaml.safe_load(text.split("---\n")[1])
    for result in data["model-index"][0]["results"]:
        for metric in result["metrics"]:
            said = r"\((95 % interval \S+ to \S+|no interval); \d+ images, \d+ patients\)"
            assert re.search(said, metric["name"])
    entry = metrics["retrieval"]["i2t_r@10"]
    line = f"| {entry['value']:.3f} | {entry['low']:.3f} to {entry['high']:.3f} | 10 | 10 |"
    assert f"| i2t\\_r@10 {line}" in text
    entry = metrics["zero_shot"]["auroc_macro"]  # of 10 patients at most 5 are on a side
    assert f"| auroc\\_macro | {entry['value']:.3f} | too few patients for an interval: " in text


def test_figures_that_are_not_defined_say_why_and_are_kept_from_the_hub(home, tmp_path):
    changed = shutil.copytree(home.evaluation, tmp_path / "changed")
    metrics = json.loads((changed / "metrics.json").read_text())
    entry = {
        "value": None,
        "low": None,
        "high": None,
        "reason": "no positive",
        "n_images": 3,
        "n_patients": 2,
    }
    metrics["zero_shot"]["auroc/edema"] = entry
    forget_checksums(changed)
    (changed / "metrics.json").write_text(json.dumps(metrics))
    text = written(home.run, tmp_path / "README.md", evaluations=[changed])
    assert "| auroc/edema | not defined: no positive |  | 3 | 2 |" in text
    assert "auroc/edema" not in text.split("---\n")[1]


def test_the_corpus_beside_the_run_is_told_by_its_counts(home, tmp_path):
    text = written(home.run, tmp_path / "README.md")
    assert "| train | 40 | 40 | 40 |" in text
    assert "| effusion | 20 | 20 | 0 |" in text
    assert open_corpus(home.corpus).card["sha256"] in text
    assert "of other patients of the training corpus" in text


def test_nothing_of_patients_and_of_this_machine_is_in_it(home, tmp_path):
    text = written(home.run, tmp_path / "README.md")
    for told in (*tiny_texts(60), str(home.run.parent), str(tmp_path)):
        assert told not in text
    assert not re.search(r"\b[sp]\d{1,2}\b", text)


def test_a_run_alone_says_what_is_not_known(home, tmp_path):
    text = written(moved(home, tmp_path), tmp_path / "README.md")
    assert "Not evaluated: no claim is made" in text
    assert "Source, counts and splits: not stated" in text
    data = yaml.safe_load(text.split("---\n")[1])
    assert "model-index" not in data
    assert model_hash(load(home.run)) in text
    assert "Not a medical device" in text
    assert "\nmodel.encode_images(images)   # PIL images -> unit rows\n" in text


def test_the_corpus_and_evaluations_may_be_named(home, tmp_path):
    run = moved(home, tmp_path)
    text = written(
        run, tmp_path / "README.md", evaluations=[home.evaluation, home.evaluation], data=home.corpus
    )
    assert text.count("### zero\\_shot, on test (test)") == 2
    assert "| train | 40 | 40 | 40 |" in text


def test_what_is_of_another_model_or_corpus_is_refused_when_named(home, tmp_path):
    other = shutil.copytree(home.evaluation, tmp_path / "other")
    account = json.loads((other / "evaluation.json").read_text())
    forget_checksums(other)
    (other / "evaluation.json").write_text(json.dumps(account | {"model_sha256": "0" * 64}))
    with pytest.raises(CallError, match="is of another model"):
        write_card(home.run, tmp_path / "README.md", evaluations=[other])
    write_noise_corpus(tmp_path / "corpus", seed=1)
    with pytest.raises(CallError, match="was trained on another corpus"):
        write_card(home.run, tmp_path / "README.md", data=tmp_path / "corpus")
    with pytest.raises(CallError, match="no evaluation in"):
        write_card(home.run, tmp_path / "README.md", evaluations=[tmp_path])
    assert not (tmp_path / "README.md").exists()


def test_what_only_lies_beside_the_run_is_left_out_if_of_another(home, tmp_path):
    run = moved(home, tmp_path)
    shutil.copytree(home.evaluation, tmp_path / "evaluation")
    save_model(tiny_model(seed=3), run / "model")
    write_noise_corpus(tmp_path / "corpus", seed=1)
    text = written(run, tmp_path / "README.md")
    assert "Not evaluated: no claim is made" in text
    assert "Source, counts and splits: not stated" in text


def test_rare_findings_are_named_among_the_limits(home, tmp_path):
    text = written(home.run, tmp_path / "README.md")
    assert "Fewer than 25 positive cases on test: edema (3), effusion (5)." in text


def test_prompts_are_words_and_never_markup(home, tmp_path):
    changed = shutil.copytree(home.evaluation, tmp_path / "changed")
    account = json.loads((changed / "evaluation.json").read_text())
    account["prompts"]["edema"]["positive"] = ["Ödem | <b>links</b>\n# nicht", "`code`"]
    forget_checksums(changed)
    (changed / "evaluation.json").write_text(json.dumps(account))
    text = written(home.run, tmp_path / "README.md", evaluations=[changed])
    assert "| Ödem \\| \\<b>links\\</b> # nicht; \\`code\\` |" in text


MARKUP = (
    "<script>x</script> [a](http://b) ![c](d) &lt;i&gt; `e` www.f.org http://g.org $h$ ~~i~~ *j*\n# k\x1b[2J"
)
FOREIGN = {"html_block", "html_inline", "link_open", "image"}


def parsed(text):
    """The tokens of the card's Markdown, and those within its lines."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text.split("---\n", 2)[2])
    return tokens, [child for token in tokens for child in token.children or ()]


@pytest.mark.parametrize("field", ["name", "objective", "dim", "size", "max_tokens"])
def test_what_a_run_says_of_itself_is_words_wherever_it_stands(home, tmp_path, field):
    run = moved(home, tmp_path)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {field: MARKUP}))
    (run / SUMS).unlink()
    text = written(run, tmp_path / "README.md")
    tokens, inline = parsed(text)
    assert not {token.type for token in (*tokens, *inline)} & FOREIGN
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens) == 1
    assert "\x1b" not in text
    shown = "".join(child.content for child in inline)
    assert "<script>x</script>" in shown
    assert "&lt;i&gt;" in shown  # the entity itself, and not what it stands for


def test_what_a_corpus_says_of_itself_is_words_too(home, tmp_path):
    corpus = shutil.copytree(home.corpus, tmp_path / "corpus")
    card = json.loads((corpus / "card.json").read_text())
    card["source"], card["splits"][MARKUP] = MARKUP, card["splits"]["train"]
    (corpus / "card.json").write_text(json.dumps(card))
    (corpus / SUMS).unlink()
    run = moved(home, tmp_path)
    _, inline = parsed(written(run, tmp_path / "README.md", data=corpus))
    assert not {child.type for child in inline} & FOREIGN


def test_local_weights_are_not_named_and_public_ones_are(home, tmp_path):
    run = moved(home, tmp_path)
    config = json.loads((run / "config.json").read_text())
    config["image"]["pretrained"], config["text"]["pretrained"] = str(tmp_path / "secret"), "some/model"
    config["init"] = str(tmp_path / "before")
    forget_checksums(run)
    (run / "config.json").write_text(json.dumps(config))
    text = written(run, tmp_path / "README.md")
    assert str(tmp_path) not in text
    assert "weights from a local folder" in text
    assert yaml.safe_load(text.split("---\n")[1])["base_model"] == ["some/model"]


def test_a_card_that_is_there_is_kept(home, tmp_path):
    (tmp_path / "README.md").write_text("edited")
    with pytest.raises(CallError, match="may have been edited"):
        write_card(home.run, tmp_path / "README.md")
    assert (tmp_path / "README.md").read_text() == "edited"


def test_a_folder_that_is_no_run_is_one_line(home, tmp_path):
    with pytest.raises(CallError, match="no run in"):
        write_card(home.run / "model", tmp_path / "README.md")
