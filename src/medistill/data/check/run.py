"""All checks of a corpus: leaks between its splits, broken images and texts."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medistill.data.check.alike import alike_pairs
from medistill.data.check.flag import CHECKS, Flag
from medistill.data.check.images import image_flags, measure_images
from medistill.data.check.labels import Counts, label_counts, label_flags
from medistill.data.check.splits import (
    alike_flags,
    id_flags,
    identical_flags,
    ids_of,
    splits_of,
    text_flags,
)
from medistill.data.check.texts import measure_texts, single_text_flags
from medistill.data.corpus import Corpus

Progress = Callable[[str, int, int], None]
"""Hears the stage, what is done of it, and how much there is."""
_PER_WORKER = 256  # images that outweigh starting a process


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A corpus and everything the checks found in it."""

    corpus: Corpus
    splits: tuple[str, ...]
    flags: tuple[Flag, ...]
    """In the order of CHECKS."""
    labels: Counts

    @property
    def passed(self) -> bool:
        """Whether nothing leaks and every image can be read."""
        return all(flag.severity != "error" for flag in self.flags)

    @property
    def by_check(self) -> Mapping[str, tuple[Flag, ...]]:
        """Every check with its flags, none if it is clear."""
        return {name: tuple(flag for flag in self.flags if flag.check == name) for name in CHECKS}


def check_corpus(corpus: Corpus, *, workers: int = 1, on_progress: Progress | None = None) -> Checked:
    """Run every check. The same corpus gives the same flags, whatever the number of workers.

    With more than one worker a script must start its work under `if __name__ == "__main__":`, because
    the processes import it.
    """
    workers = max(1, min(workers, corpus.table.num_rows // _PER_WORKER))

    def stage(name: str) -> Callable[[int, int], None] | None:
        return functools.partial(on_progress, name) if on_progress else None

    splits, patients = splits_of(corpus), ids_of(corpus, "patient_id")
    texts = measure_texts(corpus, on_progress=stage("reading texts"))
    measures = measure_images(corpus, workers=workers, on_progress=stage("reading images"))
    pairs = alike_pairs(corpus, measures, splits.of_row, workers=workers, on_progress=on_progress)
    labels = label_counts(corpus, splits)
    flags = (
        *id_flags("patients", patients, splits),
        *id_flags("studies", ids_of(corpus, "study_id"), splits),
        *identical_flags(measures, splits),
        *alike_flags(pairs, patients, splits),
        *text_flags(texts, patients, splits),
        *image_flags(measures),
        *single_text_flags(texts),
        *label_flags(labels),
    )
    in_order = sorted(flags, key=lambda flag: tuple(CHECKS).index(flag.check))
    return Checked(corpus=corpus, splits=splits.names, flags=tuple(in_order), labels=labels)
