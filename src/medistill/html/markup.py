"""HTML and SVG elements whose text is escaped by construction."""

from collections.abc import Iterable
from html import escape

_VOID = {"br", "img", "link", "meta"}


class Html(str):
    """Markup, as opposed to text that has yet to be escaped."""


Child = str | Iterable[str | None] | None


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """One element. Only `Html` goes in as it is; `class_` is class, `stroke_width` stroke-width."""
    opened = f"<{name}{''.join(_attribute(k, v) for k, v in attributes.items())}>"
    return Html(opened if name in _VOID else f"{opened}{joined(*children)}</{name}>")


def section(name: str, title: str, *children: Child) -> Html:
    """A part of a page with its heading, by which it can be linked to and is announced."""
    return tag("section", tag("h2", title, id=name), *children, aria_labelledby=name)


def joined(*children: Child) -> Html:
    """The children one after the other, text escaped."""
    parts: list[str] = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        elif child is not None:
            parts.append(joined(*child))
    return Html("".join(parts))


def _attribute(name: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value), quote=True)}"'
