"""The model a run starts from."""

from collections.abc import Sequence

from medistill.errors import CallError
from medistill.model.dual import DualEncoder, build_model
from medistill.model.economy import economize
from medistill.model.saved import load
from medistill.recipe import Recipe

OWN = "as their own files say"
"""How pretrained towers are pooled, noted in checkpoints; earlier versions pooled them as the recipe says."""


def start_model(recipe: Recipe, texts: Sequence[str], patients: Sequence[str]) -> DualEncoder:
    """The model a run starts from: the recipe's, or the one it names as `init`, run as the recipe says."""
    if not recipe.init:
        return build_model(recipe, texts, patients)
    model = load(recipe.init)
    check_model(recipe, model)
    economize(model.image, model.text, recipe)
    return model


def pool_as_asked(model: DualEncoder, recipe: Recipe) -> None:
    """Pool pretrained towers as the recipe says, for a run that an earlier version began so."""
    for tower, encoder in ((model.image, recipe.image), (model.text, recipe.text)):
        if encoder.pretrained and not recipe.init:
            tower.pooling = encoder.pooling
    if recipe.text.pretrained and not recipe.init:
        model.text.normalized = False


def check_model(recipe: Recipe, model: DualEncoder) -> None:
    """CallError if a model to start from takes other inputs than the recipe gives."""
    same = ("size", "channels", "dim", "max_tokens", "mean", "std")
    for name, there in {**{name: getattr(model, name) for name in same}, "head": model.head_kind}.items():
        if there != getattr(recipe, name):
            flag = name.replace("_", "-")
            raise CallError(
                f"the model has {name} {there}, the recipe {getattr(recipe, name)}; set --{flag} {there}"
            )
