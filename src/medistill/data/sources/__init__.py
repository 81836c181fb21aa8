"""The kinds of source a corpus can be prepared from."""

from medistill.data.sources.csv import CsvSource
from medistill.data.sources.draft import Reading, Source
from medistill.data.sources.folder import FolderSource
from medistill.data.sources.phantom import PhantomSource

SOURCES: dict[str, type[PhantomSource] | type[FolderSource] | type[CsvSource]] = {
    source.name: source for source in (PhantomSource, FolderSource, CsvSource)
}
"""By the name the command line knows them by; a new source is a file here and a line here."""

__all__ = ["SOURCES", "CsvSource", "FolderSource", "PhantomSource", "Reading", "Source"]
