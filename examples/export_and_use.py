"""Export to ONNX, with 8-bit graphs, and use it where neither medistill nor torch is installed."""

# %% Export. The command checks the graphs against PyTorch.
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from phantom_run import phantom_run
from PIL import Image

from medistill import load, open_corpus
from medistill.evaluate.run import evaluate_against
from medistill.serve.export.export import export

home = Path(tempfile.mkdtemp())
corpus, run = phantom_run(home)
account = export(str(run), "onnx", home / "onnx", int8=True)
print(f"largest difference from PyTorch: {account['checked']['largest_difference']:.1e}")

# %% What 8 bits lose: the graphs are models by their name, so any comparison of models tells.
graphs = f"onnx:{home / 'onnx'}"
comparison = evaluate_against([graphs, f"{graphs}:int8"], corpus, home / "comparison")
lost = comparison["tasks"]["zero_shot"]["auroc_macro"]["differences"]["B"]
# No interval where fewer than ten patients are on a side.
interval = "" if lost["low"] is None else f" [{lost['low']:.4f}, {lost['high']:.4f}]"
print(f"AUROC of 8 bits less that of float: {lost['value']:.4f}{interval}")

# %% A program for another machine: numpy, Pillow, tokenizers and onnxruntime are all it needs.
PROGRAM = """
import json, os, sys
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else onnxruntime 1.32 reports to its makers

import numpy as np
import onnxruntime
from PIL import Image
from tokenizers import Tokenizer

folder, film, text = Path(sys.argv[1]), Image.open(sys.argv[2]).convert("L"), sys.argv[3]
told = json.loads((folder / "export.json").read_text())
side = told["preprocessing"]["resize"]

scale = side / max(film.size)  # the letterbox: fit the longer side, center on black
width, height = (max(1, int(length * scale + 0.5)) for length in film.size)
square = Image.new("L", (side, side))
fitted = film.resize((width, height), Image.Resampling.BICUBIC)
square.paste(fitted, ((side - width) // 2, (side - height) // 2))

row = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text)
tokens = {"input_ids": np.array([row.ids]), "attention_mask": np.array([row.attention_mask])}
image, words = (
    onnxruntime.InferenceSession(folder / told["files"][tower]).run(None, inputs)[0][0]
    for tower, inputs in (("image", {"images": np.array(square)[None]}), ("text", tokens))
)
assert not {"torch", "medistill"} & set(sys.modules)
print(json.dumps(float(image @ words)))
"""
film = open_corpus(corpus).split("test").image(0)
Image.fromarray(film).save(home / "film.png")
TEXT = "The heart is enlarged."
call = [sys.executable, "-c", PROGRAM, home / "onnx", home / "film.png", TEXT]
cosine = json.loads(subprocess.run(call, capture_output=True, text=True, check=True).stdout)

# %% The same number, as medistill has it.
model = load(run)
expected = float(model.encode_images([film])[0] @ model.encode_texts([TEXT])[0])
print(f"cosine {cosine:.6f}, medistill {expected:.6f}")
assert abs(cosine - expected) < 1e-4
