"""The model card of a hub export: that of the run, with how transformers loads it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medistill.evaluate.card_data import front_matter
from medistill.evaluate.card_facts import gather
from medistill.evaluate.card_text import body
from medistill.model.dual import DualEncoder

CARD = "README.md"
_LOADING = """## Use it

```python
import torch
from transformers import AutoImageProcessor, AutoTokenizer
from transformers import VisionTextDualEncoderModel, VisionTextDualEncoderProcessor

folder = "FOLDER OF THE MODEL"
model = VisionTextDualEncoderModel.from_pretrained(folder).eval()
processor = VisionTextDualEncoderProcessor(
    AutoImageProcessor.from_pretrained(folder, backend="pil"), AutoTokenizer.from_pretrained(folder)
)
inputs = processor(images=images, text=texts, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    found = model(**inputs)
found.image_embeds @ found.text_embeds.T   # cosines
```

transformers 5 or later. Images are 8-bit grey or color, which is seen as grey. {letterbox}. Without
`backend="pil"`, where torchvision is installed, resizing rounds otherwise.
"""
_ALONE = """---
license: other
license_name: not-stated
library_name: transformers
pipeline_tag: zero-shot-image-classification
tags: [medical, radiology, vision-language, contrastive]
---

# A dual encoder of images and reports

Exported by medistill from a model folder without its run: data, recipe and figures are not stated.

SHA-256 of the weights it was made from: `{sha256}`

**Not a medical device.** For research, under the eyes of somebody who looks at the images; not for diagnosis,
triage, or any decision about a patient.

## Limits

- Images are seen as {size} x {size} pixels of grey: smaller things are lost.
- Reports are cut to {max_tokens} tokens.
- Not evaluated here: no claim is made of how good the model is.

"""


def write_hub_card(source: Path, model: DualEncoder, told: Mapping[str, Any], folder: Path) -> None:
    """README.md: the facts of the run `source`, or, of a model folder alone, what the weights tell."""
    loading = _LOADING.format(letterbox=_sentence(told["letterbox"]))
    if (source / "model").is_dir():
        facts = gather(source)
        text = f"{front_matter(facts, library='transformers')}\n{body(facts, loading=loading)}"
    else:
        known = {"sha256": told["model_sha256"], "size": model.size, "max_tokens": model.max_tokens}
        text = _ALONE.format(**known) + loading
    (folder / CARD).write_text(text, "utf-8")


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
