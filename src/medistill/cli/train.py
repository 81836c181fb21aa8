"""`medistill train`: its flags."""

from pathlib import Path
from typing import Any

from medistill.cli.terminal import print_json, say, stages, training_bar
from medistill.system.private import files_for


def train(recipe: Any, *, data: Path, out: Path, group_readable: bool = False, json: bool = False) -> None:
    """Pretrain the two encoders on a corpus; goes on from the newest checkpoint in `out`.

    Example: medistill train small --data corpus --out run --epochs 40

    Args:
        recipe: What to train; any field of the ready recipe is overridden by its flag.
        data: Corpus folder written by `medistill prepare`.
        out: Run folder; holds config.json, metrics.jsonl, checkpoints and the model.
        group_readable: Let the group read what is written; its owner alone reads it otherwise.
        json: Print the validation of the delivered model as JSON on standard output.
    """
    from medistill.engine.track import best_validation
    from medistill.pretrain import pretrain

    with files_for(group=group_readable), training_bar() as watch:
        pretrain(recipe, data, out, watch=watch, bar=stages)
    best = best_validation(out)
    if json:
        print_json(best)
    if best:
        i2t, t2i = best["val/i2t_r@10"], best["val/t2i_r@10"]
        say(f"{out / 'model'}: validation recall@10 {i2t:.3f} image to text, {t2i:.3f} text to image")
