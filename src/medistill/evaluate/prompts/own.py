"""The prompts that a model was left with when it was trained."""

from collections import Counter
from typing import Any

from medistill.errors import CallError
from medistill.evaluate.prompts.derived import templates, words_of
from medistill.evaluate.prompts.prompts import Prompts, checked, template


def own_prompts(model: Any) -> Prompts | None:
    """Those of the prompts.json in the model's folder; None if it has none, as any model of another library.

    CallError if the file does not hold prompts.
    """
    prompts = getattr(getattr(model, "model", model), "prompts", None)
    if not prompts:
        return None
    try:
        return checked(prompts)
    except CallError as error:
        raise CallError(f"the prompts.json of the model cannot be used: {error}") from None


def asked(finding: str, own: Prompts | None) -> dict[str, list[str]]:
    """What to ask about a finding that nobody gave prompts for: the model's own, else plain sentences.

    A finding that the model's own prompts do not name is asked for by its name, against what most of them
    have as the other side: what normal reports say.
    """
    if not own:
        return template(finding)
    named = own.get(finding) or _by_words(own).get(words_of(finding).casefold())
    if named:
        return {side: list(texts) for side, texts in named.items()}
    normal, _ = Counter(tuple(sides["negative"]) for sides in own.values()).most_common(1)[0]
    return {"positive": templates(finding), "negative": list(normal)}


def _by_words(own: Prompts) -> Prompts:
    """By the name alone, in any case and without what says who labeled it; the first of several."""
    named: dict[str, Any] = {}
    for finding, sides in own.items():
        named.setdefault(words_of(finding).casefold(), sides)
    return named
