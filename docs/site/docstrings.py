"""How the reference shows our docstrings: aligned notes on arguments become lists."""

import re
from typing import Any

import griffe

NOTE = re.compile(r"(?P<names>[\w*]+(?:, [\w*]+)*) {2,}(?P<said>\S.*)")
"""A line such as `keys      teacher embeddings of the other modality`."""


class Notes(griffe.Extension):
    """Rewrites a paragraph of such lines, and of indented lines that go on with one, as a Markdown list."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            paragraphs = obj.docstring.value.split("\n\n")
            obj.docstring.value = "\n\n".join(map(as_list, paragraphs))


def as_list(paragraph: str) -> str:
    """The paragraph as a list if it begins with a note, else unchanged."""
    lines: list[str] = []
    for line in paragraph.splitlines():
        if note := NOTE.fullmatch(line):
            lines.append(f"- **{note['names']}**: {note['said']}")
        elif lines and line.startswith("  "):
            lines.append(f"    {line.strip()}")
        elif lines:
            lines += ["", line]  # what the function raises, under its last note
        else:
            return paragraph
    return "\n".join(lines)
