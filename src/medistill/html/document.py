"""A page as one HTML file that loads nothing and sends nothing."""

from medistill.html.markup import Child, Html, tag
from medistill.html.style import STYLE

# Even a mistake in a page could not make it load or send anything.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, *children: Child, more_style: str = "") -> str:
    """The whole file around the children of its `main`."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("link", rel="icon", href="data:,"),
        tag("style", Html(STYLE + more_style)),
    )
    footer = tag("footer", "Written by medistill. This file is complete: it loads nothing and sends nothing.")
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', *children, footer)), lang='en')}\n"
