"""All checks of a corpus: leaks between its splits, broken images and texts, labels without a side."""

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from medistill.data.check.alike import alike_pairs
from medistill.data.check.flag import CHECKS, Flag
from medistill.data.check.images import image_flags, measure_images
from medistill.data.check.rows import row_flags
from medistill.data.check.splits import (
    Ids,
    Splits,
    alike_flags,
    id_flags,
    identical_flags,
    splits_of,
    text_flags,
)
from medistill.data.check.texts import measure_texts, single_text_flags
from medistill.data.corpus import Corpus
from medistill.system.progress import Progress

Counts = Mapping[str, Mapping[str, Mapping[str, int]]]
"""Finding -> split -> present, absent, uncertain, not stated, in images."""
_NAMED = 5  # findings named in one line
_PER_WORKER = 256  # images that outweigh starting a process


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A corpus and everything the checks say of it."""

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

    splits, people = splits_of(corpus), Ids(corpus, "patient_id")
    patients = people.keys
    texts = measure_texts(corpus, on_progress=stage("reading texts"))
    measures = measure_images(corpus, workers=workers, on_progress=stage("reading images"))
    pairs = alike_pairs(corpus, measures, splits.of_row, workers=workers, on_progress=on_progress)
    labels = label_counts(corpus, splits)
    flags = (
        *id_flags("patients", people, splits),
        *id_flags("studies", Ids(corpus, "study_id"), splits),
        *identical_flags(measures, splits),
        *alike_flags(pairs, patients, splits),
        *text_flags(texts, patients, splits),
        *image_flags(measures),
        *single_text_flags(texts),
        *row_flags(corpus),
        *label_flags(labels),
    )
    in_order = sorted(flags, key=lambda flag: tuple(CHECKS).index(flag.check))
    return Checked(corpus=corpus, splits=splits.names, flags=tuple(in_order), labels=labels)


def label_counts(corpus: Corpus, splits: Splits) -> Counts:
    labels = corpus.labels
    return {
        finding: {
            name: _counted(labels[splits.rows(number), column]) for number, name in enumerate(splits.names)
        }
        for column, finding in enumerate(corpus.findings)
    }


def label_flags(counts: Counts) -> Iterator[Flag]:
    """Findings without a positive or without a negative where figures need both."""
    whole = {
        finding: {state: sum(split[state] for split in by_split.values()) for state in ("present", "absent")}
        for finding, by_split in counts.items()
    }
    for state in ("present", "absent"):
        never = [finding for finding, total in whole.items() if not total[state]]
        if never:
            yield _flag(f"never {state} in any split", never)
        for split in next(iter(counts.values()), {}):
            missing = [
                finding
                for finding, by_split in counts.items()
                if whole[finding][state] and not by_split[split][state]
            ]
            if missing:
                yield _flag(f"never {state} in {split}", missing, (split,))


def _flag(what: str, findings: list[str], splits: tuple[str, ...] = ()) -> Flag:
    more = f"; {len(findings) - _NAMED:,} more" if len(findings) > _NAMED else ""
    named = "; ".join(findings[:_NAMED])
    said = f"{len(findings):,} finding{'s' * (len(findings) != 1)} {what}: {named}{more}"
    return Flag(check="labels", severity="warning", said=said, count=len(findings), splits=splits)


def _counted(labels: np.ndarray) -> dict[str, int]:
    states = {"present": labels == 1, "absent": labels == 0, "uncertain": labels == -1}
    return {state: int(mask.sum()) for state, mask in states.items()} | {
        "not stated": int(np.isnan(labels).sum())
    }
