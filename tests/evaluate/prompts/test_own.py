"""What a model that was left with prompts is asked, from its training to evaluation and labels."""

import json

import numpy as np
import pytest
from markupsafe import escape

from medistill import load
from medistill.data.image import encode_image
from medistill.data.prepare.writer import write_corpus
from medistill.data.study import Study, StudyImage
from medistill.errors import CallError
from medistill.evaluate.prompts.derived import templates
from medistill.evaluate.prompts.own import asked, own_prompts
from medistill.evaluate.prompts.prompts import template
from medistill.evaluate.prompts.resolved import OWN, PLAIN, origin_of, resolve_prompts
from medistill.evaluate.run import evaluate_against, evaluate_run
from medistill.model.saved import save_model, save_prompts
from medistill.pretrain import pretrain
from medistill.serve.app.judging import prompts_of
from medistill.serve.label.run import label
from medistill.serve.label.wanted import Wanted
from medistill.system.checksums import write_checked
from tests.conftest import each_a_unit, tiny_model, tiny_recipe

NORMAL = ["Lungs are clear."]
PROMPTS = {
    "cardiomegaly": {"positive": ["The heart is large."], "negative": NORMAL},
    "mesh: edema": {"positive": ["There is edema."], "negative": NORMAL},
    "no finding": {"positive": NORMAL, "negative": ["The heart is large."]},
}


@pytest.fixture
def model():
    model = tiny_model()
    model.prompts = PROMPTS
    return model


def write_reported_corpus(out, findings=("cardiomegaly", "effusion")):
    """60 studies of noise, every third with a large heart."""
    random = np.random.default_rng(0)
    texts = (
        "The lungs are clear. The heart is normal in size.",
        "The heart is enlarged. The lungs are clear.",
    )
    studies = [
        Study(
            study_id=f"s{i}",
            patient_id=f"p{i}",
            images=(StudyImage(image=encode_image(random.integers(0, 256, (32, 32), dtype=np.uint8))),),
            text=f"{texts[i % 3 == 0]} In {i} the words." if i % 5 else f"The study {i}.",
            split=("train", "train", "val", "test")[i % 4],
            labels={"cardiomegaly": int(i % 3 == 0), "effusion": int(i % 7 == 0)},
        )
        for i in range(80)
    ]
    write_corpus(each_a_unit(studies), out, source="test", made_with={}, findings=findings)
    return out


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    home = tmp_path_factory.mktemp("own")
    corpus = write_reported_corpus(home / "corpus")
    pretrain(tiny_recipe(min_patients=3, epochs=1), corpus, home / "run", watch=lambda *_: None)
    return home


def test_a_run_leaves_prompts_of_its_training_reports_in_its_model(trained):
    prompts = json.loads((trained / "run" / "model" / "prompts.json").read_text("utf-8"))
    assert prompts["cardiomegaly"]["positive"] == ["The heart is enlarged."]
    assert prompts["effusion"]["positive"] == templates("effusion")
    assert set(prompts["effusion"]["negative"]) == {"The lungs are clear.", "The heart is normal in size."}
    assert load(trained / "run").prompts == prompts


def test_the_model_is_evaluated_by_them_and_the_page_says_so(trained):
    _, account = evaluate_run(trained / "run", trained / "corpus", trained / "evaluation", split="val")
    assert account["prompts"]["cardiomegaly"]["positive"] == ["The heart is enlarged."]
    assert account["prompts_origin"] == OWN
    assert escape(OWN) in " ".join((trained / "evaluation" / "page.html").read_text("utf-8").split())


def test_a_file_of_prompts_goes_first(trained):
    path = trained / "mine.json"
    mine = {"cardiomegaly": {"positive": ["Large."], "negative": ["Small."]}}
    path.write_text(json.dumps(mine))
    _, account = evaluate_run(
        trained / "run", trained / "corpus", trained / "given", split="val", prompts=path
    )
    assert account["prompts"]["cardiomegaly"] == mine["cardiomegaly"]
    assert account["prompts"]["effusion"]["positive"] == templates("effusion")
    assert account["prompts_origin"] == f"given in a file; {OWN}"


def test_models_that_are_compared_are_asked_the_same(trained):
    bare = trained / "bare"
    save_model(load(trained / "run"), bare)
    models, out = [str(bare), str(trained / "run")], trained / "against"
    evaluate_against(models, trained / "corpus", out, split="val")
    told = [json.loads((out / name / "evaluation.json").read_text()) for name in "AB"]
    assert told[0]["prompts"] == told[1]["prompts"]
    assert told[0]["prompts"]["cardiomegaly"]["positive"] == ["The heart is enlarged."]


def test_labels_are_asked_for_by_them(trained, tmp_path):
    wanted = Wanted(findings=("cardiomegaly", "nodule"))
    told = label(trained / "run", tmp_path / "labels.csv", wanted, data=trained / "corpus")
    prompts = told["classifier"]["prompts"]
    assert prompts["cardiomegaly"]["positive"] == ["The heart is enlarged."]
    assert prompts["nodule"]["negative"] == prompts["cardiomegaly"]["negative"]


def test_a_model_without_prompts_is_asked_as_before(tmp_path):
    save_model(tiny_model(), tmp_path)
    model = load(tmp_path)
    assert own_prompts(model) is None
    assert asked("edema", own_prompts(model)) == template("edema")
    assert prompts_of(" edema ", None) == template("edema")
    assert resolve_prompts(["edema"], None, source="csv")["edema"] == template("edema")
    assert origin_of(["edema"], None, source="csv") == PLAIN


def test_a_finding_is_known_by_its_words_whoever_labeled_it(model):
    own = own_prompts(model)
    assert asked("Cardiomegaly", own)["positive"] == ["The heart is large."]
    assert asked("mesh: cardiomegaly", own)["positive"] == ["The heart is large."]
    assert asked("edema", own)["positive"] == ["There is edema."]
    assert asked("hiatal hernia", own) == {"positive": templates("hiatal hernia"), "negative": NORMAL}


def test_phantoms_keep_their_own_prompts(model):
    from medistill.data.phantom.prompts import PROMPTS as OF_PHANTOMS

    finding = next(iter(OF_PHANTOMS))
    assert (
        resolve_prompts([finding], None, source="phantom", own=own_prompts(model))[finding]
        == OF_PHANTOMS[finding]
    )


@pytest.mark.parametrize("damage", ['{"a": {}}', "[1]", '{"a": {"positive": ["x"], "negative": []}}'])
def test_a_file_that_holds_no_prompts_is_one_line(model, damage, tmp_path):
    save_model(model, tmp_path)
    write_checked(tmp_path / "prompts.json", damage)
    with pytest.raises(CallError, match=r"^the prompts\.json of the model cannot be used: .*"):
        own_prompts(load(tmp_path))


def test_a_damaged_file_is_told_from_one_that_was_written(model, tmp_path):
    save_model(model, tmp_path)
    save_prompts(PROMPTS, tmp_path)
    (tmp_path / "prompts.json").write_text("{}")
    with pytest.raises(CallError, match=r"prompts\.json is damaged"):
        load(tmp_path)
