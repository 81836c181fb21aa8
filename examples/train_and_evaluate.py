"""Pretrain on a corpus and read what the model can do. Your own data: docs/hospital-data.md."""

# %% A corpus: images, reports and labels in one folder. Phantoms here, drawn on the spot.
import dataclasses
import json
import tempfile
from pathlib import Path

from medistill import load, open_corpus
from medistill.data.prepare import prepare
from medistill.data.sources import PhantomSource
from medistill.evaluate.run import evaluate_run
from medistill.pretrain import pretrain
from medistill.recipe import quickstart

home = Path(tempfile.mkdtemp())
card = prepare(PhantomSource(count=200), home / "corpus", val=0.1, test=0.3)
for name, counts in card["splits"].items():
    print(f"{name}: {counts['images']} images of {counts['patients']} patients")

# %% Pretrain. A recipe is a frozen dataclass; every field may be replaced.
recipe = dataclasses.replace(quickstart(), epochs=2, window=64, min_patients=5)
pretrain(recipe, home / "corpus", home / "run", watch=lambda pairs, of, loss: None)
last = json.loads((home / "run" / "metrics.jsonl").read_text().splitlines()[-1])
print(f"after {last['pairs']} pairs")

# %% Evaluate on the test split: every figure has an interval, resampled by patient, and its n.
evaluate_run(home / "run", home / "corpus", home / "evaluation")
metrics = json.loads((home / "evaluation" / "metrics.json").read_text())
for task, name in (("zero_shot", "auroc_macro"), ("retrieval", "i2t_r@10"), ("retrieval", "chance_r@10")):
    figure = metrics[task][name]
    # No interval where fewer than ten patients are on a side.
    interval = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    print(f"{task} {name}: {figure['value']:.3f}{interval}")

# %% Use the model: unit rows, so a product is a cosine.
model = load(home / "run")
rows = open_corpus(home / "corpus").split("test")
images = model.encode_images([rows.image(0), rows.image(1)])
texts = model.encode_texts(["The heart is enlarged.", "No pneumothorax."])
print("cosines", (images @ texts.T).tolist())
