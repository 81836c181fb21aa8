"""Every command on corpora that lack something: figures, or one line that says what is missing."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from medistill.cli import main
from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import NO_REPORT, Study, StudyImage
from medistill.engine.plan.plan import make_plan
from medistill.pretrain import pretrain
from tests.conftest import each_a_unit, tiny_recipe, tiny_texts, write_noise_corpus
from tests.engine.plan.test_plan import MB, measure

FINDINGS = ("effusion", "edema")
LACKING = {
    "labels": {"labels": {}, "names": None},
    "stated labels": {"labels": {}},
    "reports": {"text": NO_REPORT},
    "half the reports": {"text": lambda i: NO_REPORT if i % 2 else f"clear lung {i}"},
    "views, sexes, ages": {"view": None, "sex": None, "age": None},
    "anything": {"labels": {}, "names": None, "text": NO_REPORT, "view": None, "sex": None, "age": None},
    "other patients": {"patient_id": "p", "split": "test"},
    "a test split": {"split": "train"},
    "a training split": {"split": "test"},
    "other studies": {"count": 1, "split": "test"},
}
CALLS = (
    "check {c} --out {o}/check",
    "check {c} --out {o}/check --with-cases --show-ids",
    "check {c} --verify",
    "evaluate {r} --data {c} --out {o}/e",
    "evaluate {r} --data {c} --out {o}/t --split train --with-cases",
    "evaluate {r} --data {c} --out {o}/p --prompts {p}",
    "evaluate {r} --data {c} --out {o}/l --protocol labels",
    "evaluate {r} --data {c} --out {o}/a --against {r}",
    "embed {r} --data {c} --out {o}/t.arrow",
    "index {o}/t.arrow --out {o}/index",
    "search {o}/index --text effusion",
    "search {o}/index --text effusion --json --view PA --sex F",
    "search {o}/index --text effusion --min-age 5 --since 2000-01-01",
    "search {o}/index --text effusion --label effusion",
    "search {o}/index --text effusion --source test --all-studies",
    "label {r} --data {c} --findings effusion --prompts {p} --out {o}/l.csv",
    "card {r} --data {c} --out {o}/R.md",
    "train quickstart --data {c} --out {o}/run --epochs 1 --window 4 --micro-batch 4 --size 32 --workers 0",
    "plan quickstart --data {c} --memory 4GB --window 4096",
)
ALWAYS = ("check {c} --verify", CALLS[8], CALLS[9], "search {o}/index --text effusion")
"""Done, whatever is not there."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    write_noise_corpus(home / "corpus")
    pretrain(tiny_recipe(epochs=1), home / "corpus", home / "run", watch=lambda *_: None)
    prompts = {"effusion": {"positive": ["effusion"], "negative": ["no effusion"]}}
    (home / "prompts.json").write_text(json.dumps(prompts))
    return SimpleNamespace(run=home / "run", prompts=home / "prompts.json")


def corpus_without(folder, *, count=60, names=FINDINGS, view="PA", **changes):
    dice, splits = np.random.default_rng(0), ["train"] * 40 + ["val"] * 10 + ["test"] * 10

    def study(i):
        image = encode_image(dice.integers(0, 256, (32, 32), dtype=np.uint8))
        fields = {
            "study_id": f"s{i}",
            "patient_id": f"p{i}",
            "images": (StudyImage(image=image, view=view),),
            "text": tiny_texts(60)[i],
            "split": splits[i],
            "labels": {"effusion": i % 2, "edema": int(i % 3 == 0)},
            "sex": "F",
            "age": 50.0,
            "source": "test",
        }
        given = {name: value(i) if callable(value) else value for name, value in changes.items()}
        return Study(**(fields | given))

    studies = [study(i) for i in range(count)]
    write_corpus(each_a_unit(studies), folder, source="test", made_with={}, findings=names)
    return folder


@pytest.fixture
def no_probes(monkeypatch):
    """A plan's measures are given: they take long, and do not depend on the corpus."""

    def measured(recipe, **_):
        return measure(recipe.micro_batch, (300 + 20 * recipe.micro_batch) * MB)

    monkeypatch.setattr(sys.modules[make_plan.__module__], "run_probe", measured)


@pytest.mark.parametrize("what", LACKING)
def test_every_command_on_a_corpus_without(home, no_probes, tmp_path, capsys, what):
    corpus = corpus_without(tmp_path / "corpus", **LACKING[what])
    for call in CALLS:
        words = call.format(c=corpus, o=tmp_path, r=home.run, p=home.prompts).split()
        capsys.readouterr()
        status = 0
        try:
            main(words)
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr().err.splitlines()
        if status:
            assert status in (1, 2), (call, said)
            assert said[-1].startswith("medistill: "), (call, said)
            assert not said[-1].endswith((": ", ":")), (call, said)
        assert not (status and call in ALWAYS), (call, said)
