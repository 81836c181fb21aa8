"""A classifier from a few labeled images, used on new ones: `medistill label --shots` in Python."""

# %% A model, and a table of examples: the images of a folder, 1 or 0 for the finding, who the patient is.
import csv
import tempfile
from pathlib import Path

from phantom_run import phantom_run
from PIL import Image

from medistill import open_corpus
from medistill.serve.label import label
from medistill.serve.wanted import Wanted

FINDING = "atelectasis"
home = Path(tempfile.mkdtemp())
corpus, run = phantom_run(home)
opened = open_corpus(corpus)
place = opened.findings.index(FINDING)


def write_films(folder: Path, split: str, most: int) -> list[tuple[str, str, int]]:
    """Films of a split as PNG files, at most so many with and without the finding: (name, patient, label)."""
    folder.mkdir()
    rows = opened.split(split)
    stated: list[tuple[str, str, int]] = []
    for state in (1, 0):
        for row in [row for row in range(len(rows)) if rows.labels[row][place] == state][:most]:
            Image.fromarray(rows.image(row)).save(folder / f"{row}.png")
            stated.append((f"{row}.png", rows.patient_ids[row], state))
    return stated


with (home / "shots.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(("image", "patient_id", FINDING))
    writer.writerows(write_films(home / "known", "train", 30))

# %% Fit on the examples, and label the images they came from: that writes the classifier.
told = label(
    run, home / "known.csv", Wanted(shots=home / "shots.csv"), images=home / "known", save=home / "classifier"
)
basis = told["findings"][FINDING]
print(f"fitted on {basis['positive']} with and {basis['negative']} without; {basis['calibration']}")

# %% Label new films with the classifier. No patient of theirs was among the examples.
truth = {name: state for name, _, state in write_films(home / "new", "test", 20)}
label(run, home / "new.csv", Wanted(classifier=home / "classifier"), images=home / "new")
with (home / "new.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
right = sum(int(row[f"present/{FINDING}"]) == truth[row["image"]] for row in rows)
print(f"{right} of {len(rows)} new films labeled as they are")
