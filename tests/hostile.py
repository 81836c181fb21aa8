"""Strings that would break out of a page if they were not escaped."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

EVIL = "<script>alert('x')</script>\"'><img onload=a src=b>&amp;"


def hostile(value: Any, *, kept: tuple[str, ...] = (), names: tuple[str, ...] = ()) -> Any:
    """The value with EVIL behind every string in it.

    kept    keys whose values the code compares or looks up, and no page shows
    names   words that are keys, too: EVIL stands behind them wherever they are
    """
    if isinstance(value, str):
        return _renamed(value, names) + EVIL
    if isinstance(value, Mapping):
        return {
            _renamed(key, names): _kept(v, names) if key in kept else hostile(v, kept=kept, names=names)
            for key, v in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(hostile(v, kept=kept, names=names) for v in value)
    return value


def _renamed(text: str, names: tuple[str, ...]) -> str:
    for name in names:
        text = text.replace(name, name + EVIL)
    return text


def _kept(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_kept(v, names) for v in value]
    return _renamed(value, names) if isinstance(value, str) else value


class Marked(HTMLParser):
    """What is markup in a page, and how often EVIL is text in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.markup: set[tuple[str, tuple[str, ...]]] = set()
        self.texts = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.markup.add((tag, tuple(name for name, _ in attrs)))
        self.texts += sum((value or "").count(EVIL) for _, value in attrs)

    def handle_data(self, data: str) -> None:
        self.texts += data.count(EVIL)


def assert_escaped(page: str, harmless: str) -> None:
    """EVIL is on the page, as text alone: its markup is that of the page with harmless strings."""
    shown = Marked(page)
    assert shown.texts > 3
    assert shown.markup <= Marked(harmless).markup
    assert "<script" not in page
