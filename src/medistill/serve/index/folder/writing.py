"""One change of an index folder: parts are written beside the old ones, then the account is replaced."""

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from medistill.serve.index.about import About
from medistill.serve.index.folder.account import PART, Account, Entry, read_account, write_account
from medistill.serve.index.folder.nearest import Nearest, kind_of
from medistill.serve.index.folder.part import Part, PartWriter
from medistill.system.atomic import sync_folder
from medistill.system.locks import being_written, locked
from medistill.system.progress import Progress


class Change:
    """Collects the parts that will be in force. Until `commit` has returned, the old ones are."""

    def __init__(self, folder: Path, account: Account, on_progress: Progress | None) -> None:
        self.folder, self.account = folder, account
        self._kind: Nearest = kind_of(account.kind)
        self._entries: list[Entry] = []
        self._written = account.written
        self._on_progress = on_progress

    def old(self) -> list[Part]:
        """The parts in force."""
        dim = self.account.about.dim
        return [Part(self.folder / entry.name, entry.images, dim) for entry in self.account.parts]

    def keep(self, part: Part, kept: Bool[np.ndarray, " n"]) -> None:
        """Go on with these rows of a part."""
        if kept.all():
            self._entries.append(Entry(name=part.folder.name, images=len(part)))
        elif kept.any():
            self._write(part.findings, lambda writer: writer.add_part(part, kept), old=part, kept=kept)

    def write(self, findings: tuple[str, ...], fill: Callable[[PartWriter], None]) -> None:
        """Go on with a new part."""
        self._write(findings, fill)

    def commit(self, about: About) -> None:
        """Make the collected parts those in force, and remove the others."""
        sync_folder(self.folder)  # the names of the new parts, before an account that needs them
        account = replace(self.account, about=about, parts=tuple(self._entries), written=self._written)
        write_account(self.folder, account)
        remove_others(self.folder, account)

    def _write(
        self,
        findings: tuple[str, ...],
        fill: Callable[[PartWriter], None],
        old: Part | None = None,
        kept: Bool[np.ndarray, " n"] | None = None,
    ) -> None:
        self._written += 1
        writer = PartWriter(self.folder / f"{PART}{self._written:06d}", findings)
        fill(writer)
        writer.close()
        part = Part(writer.folder, writer.images, self.account.about.dim)
        if old is None or kept is None or not self._inherited(part, old, kept):
            self._kind.build(part, self._on_progress)
        self._entries.append(Entry(name=part.folder.name, images=len(part)))

    def _inherited(self, part: Part, old: Part, kept: Bool[np.ndarray, " n"]) -> bool:
        self._kind.open(old)
        return self._kind.inherit(part, old, kept)


@contextmanager
def change(folder: Path, on_progress: Progress | None = None) -> Generator[Change]:
    """A change of what is in force; CallError if another process makes one at this moment."""
    with locked(folder, being_written(folder)):
        account = read_account(folder)
        remove_others(folder, account)  # what a kill left
        try:
            yield Change(folder, account, on_progress)
        except BaseException:
            # By the account on the disk: the failure may have come after it was replaced.
            remove_others(folder, read_account(folder))
            raise


def remove_others(folder: Path, account: Account) -> None:
    """Folders of parts that are not in force; readers that have mapped their files go on reading them."""
    in_force = {entry.name for entry in account.parts}
    for path in folder.glob(f"{PART}*"):
        if path.name not in in_force:
            shutil.rmtree(path)
