"""What the site's build takes from outside docs/, and what it refuses beside dead links."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT_PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
"""README.md is the first page; links of these into docs/ are checked as those of any page."""
FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\ssrc=["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*\srel=["']?canonical)[^>]*\shref=["']?(?:https?:)?//"""
)
"""What a browser would fetch from another host while it shows a page."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the root."""
    root = Path(config.config_file_path).parent
    for name in ROOT_PAGES:
        text = (root / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Refuse a page of the reference that documents nothing: its module no longer offers what it did."""
    if page.file.src_uri.startswith("reference/") and html.count("doc doc-object ") < 2:
        raise PluginError(f"{page.file.src_uri} documents nothing; which module is it of now?")
    return html


def on_post_page(output: str, page: Page, **_: object) -> str:
    """Refuse a page that loads anything from another host."""
    if found := FOREIGN.search(output):
        raise PluginError(f"{page.file.src_uri} loads from another host: {found[0]}")
    return output
