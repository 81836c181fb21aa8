"""The OpenAPI schema as a plain page: no script, nothing from another host."""

import html
import json
from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>medistill: interface</title><link rel="stylesheet" href="/docs.css"></head><body><main>
<h1>medistill: interface</h1>
"""
STYLE = """:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 0; }
main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
h2 { margin: 2.5rem 0 .25rem; font-size: 1.1rem; border-top: 1px solid; padding-top: 1rem;
  overflow-wrap: anywhere; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
pre { overflow-x: auto; padding: .5rem; border: 1px solid; }
table { border-collapse: collapse; }
td, th { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
"""


def docs_page(schema: Mapping[str, Any]) -> str:
    """HTML of every operation, with the forms of what it takes and gives."""
    return _HEAD + "\n".join(_parts(schema)) + "\n</main></body></html>\n"


def _parts(schema: Mapping[str, Any]) -> Iterator[str]:
    info, forms = schema["info"], schema["components"]["schemas"]
    programs = "<a href='/openapi.json'>openapi.json</a>"
    yield f"<p>{html.escape(info['description'])} The same for programs: {programs}.</p>"
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            yield from _operation(method, path, operation)
    yield "<h2>Forms</h2>"
    for name, form in forms.items():
        yield f"<h3 id='{html.escape(name)}'>{html.escape(name)}</h3>{_code(form)}"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>"
    yield f"<p>{html.escape(operation.get('description', ''))}</p>"
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Takes <code>{html.escape(kind)}</code> {_link(body['schema'])}</p>"
    yield "<table><tr><th scope='col'>Status</th><th scope='col'>Answer</th></tr>"
    for status, answer in operation["responses"].items():
        forms = " ".join(
            f"<code>{html.escape(kind)}</code> {_link(body.get('schema', {}))}"
            for kind, body in answer.get("content", {}).items()
        )
        yield f"<tr><td>{html.escape(status)}</td><td>{html.escape(answer['description'])} {forms}</td></tr>"
    yield "</table>"


def _link(form: Mapping[str, Any]) -> str:
    name = html.escape(str(form.get("$ref", "")).rpartition("/")[2])
    return f"<a href='#{name}'>{name}</a>" if name else ""


def _code(form: Mapping[str, Any]) -> str:
    return f"<pre tabindex='0'>{html.escape(json.dumps(form, indent=2))}</pre>"
