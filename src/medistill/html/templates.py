"""Pages as one HTML file each, from the templates beside the code that fills them."""

import json
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from medistill.html.words import in_sentence, in_words

_FILTERS: Mapping[str, Any] = {
    "in_sentence": in_sentence,
    "in_words": in_words,
    "indented": partial(json.dumps, indent=2),
    "whole": "{:,}".format,
}


def page(package: str, name: str, **values: Any) -> str:
    """The template of this name in the package's folder `templates`, filled; it may use those of `html`."""
    return _templates_of(package).get_template(name).render(values)


@cache
def _templates_of(package: str) -> Environment:
    templates = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("medistill.html")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(_FILTERS)
    return templates
