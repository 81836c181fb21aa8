"""What two splits of a corpus have in common and must not."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt64

from medistill.data.check.alike import NEAR_IDENTICAL, Pairs
from medistill.data.check.flag import Flag, groups_of_equals, hashes, listed
from medistill.data.check.images import Measures
from medistill.data.check.texts import Texts
from medistill.data.corpus import Corpus
from medistill.data.ids import by_group, counted_kinds, differences

MANY = 100
"""Patients a corpus needs before a text that two of them have counts as rare."""
TELLING = 12
"""Words from which on a text that one patient of each split has, and nobody else, may be of one study."""
_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Splits:
    """The splits of a corpus in their order, and the number of each row's."""

    names: tuple[str, ...]
    of_row: Int64[np.ndarray, " n"]

    def rows(self, number: int) -> Int64[np.ndarray, " m"]:
        return np.flatnonzero(self.of_row == number)


def splits_of(corpus: Corpus) -> Splits:
    """By the rows, whatever the card says."""
    column = corpus.table["split"].combine_chunks().dictionary_encode()
    named: list[str] = column.dictionary.to_pylist()
    names = sorted(named, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    place = np.array([names.index(name) for name in named], np.int64)
    return Splits(tuple(names), place[column.indices.to_numpy()])


class Ids:
    """An id column by person or study: spellings of one canonical form are one id."""

    def __init__(self, corpus: Corpus, name: str) -> None:
        self.spelled: list[str] = [value or "" for value in corpus.table[name].to_pylist()]
        """As it stands in each row."""
        self.known = by_group(self.spelled)
        self.keys: UInt64[np.ndarray, " n"] = hashes(map(self.known.first, self.spelled))
        """A hash of each row's, equal for one id."""

    def kinds_between(self, rows: Int64[np.ndarray, " k"], in_one: Bool[np.ndarray, " k"]) -> tuple[str, ...]:
        """How the spellings of one part of these rows differ from the others; nothing if any is equal."""
        one, other = ({self.spelled[row] for row in rows[side]} for side in (in_one, ~in_one))
        return () if one & other else differences(min(one), min(other))


def ids_of(corpus: Corpus, name: str) -> UInt64[np.ndarray, " n"]:
    """Hashes of an id column; 017, "17 " and 17.0 are one id, as a table program may have changed it."""
    return Ids(corpus, name).keys


def id_flags(check: str, ids: Ids, splits: Splits) -> Iterator[Flag]:
    """Patients or studies that are in two splits; one case an id, with a row of each split.

    If there are none, a note of the ids that are spelled in several ways.
    """
    unit = {"patients": "patient", "studies": "study"}[check]
    shared = _shared(ids.keys, splits)
    for (one, other), groups in shared.items():
        said = f"{_counted(len(groups), unit)} in {splits.names[one]} and {splits.names[other]}"
        kinds = [ids.kinds_between(group, splits.of_row[group] == one) for group in groups]
        respelled = Counter(itertools.chain.from_iterable(kinds))
        if respelled:
            said += f", {sum(map(bool, kinds)):,} of them under ids that differ ({counted_kinds(respelled)})"
        yield _leak(check, said, groups, (splits.names[one], splits.names[other]))
    if (count := ids.known.unified) and not shared:
        yield Flag(
            check=check,
            severity="note",
            said=f"{_counted(count, 'other spelling')} of {unit} ids ({counted_kinds(ids.known.kinds)})",
            count=count,
            figures=dict(ids.known.kinds),
        )


def identical_flags(measures: Measures, splits: Splits) -> Iterator[Flag]:
    """The same pixels in two splits, blank images left out."""
    rows = np.flatnonzero(measures.readable & ~measures.blank)
    for (one, other), groups in _shared(measures.pixels, splits, rows).items():
        names = (splits.names[one], splits.names[other])
        files = sum(len(np.unique(measures.file[group])) < len(group) for group in groups)
        said = f"{_counted(len(groups), 'image')} in {names[0]} and {names[1]}"
        said += f", {files:,} of them byte for byte"
        yield _leak("identical_images", said, groups, names)


def alike_flags(pairs: Pairs, patients: UInt64[np.ndarray, " n"], splits: Splits) -> Iterator[Flag]:
    """Near-identical pairs (a leak) and pairs much alike (to be looked at), by the splits they lie in."""
    near = pairs.score >= np.float32(NEAR_IDENTICAL)
    numbers = splits.of_row[pairs.rows]
    for check, chosen in (("near_identical_images", near), ("alike_images", ~near)):
        for one, other in np.unique(numbers[chosen], axis=0).tolist():
            places = np.flatnonzero(chosen & (numbers == (one, other)).all(axis=1))
            rows = pairs.rows[places]
            strangers = int((patients[rows[:, 0]] != patients[rows[:, 1]]).sum())
            yield _alike(
                check, (splits.names[one], splits.names[other]), rows, pairs.score[places], strangers
            )


def _alike(
    check: str,
    names: tuple[str, str],
    rows: Int64[np.ndarray, "p 2"],
    score: Float32[np.ndarray, " p"],
    strangers: int,
) -> Flag:
    near, images = check == "near_identical_images", len(np.unique(rows[:, 1]))
    what = "the same as" if near else "much like"
    under = f"{_counted(strangers, 'pair')} under two patient ids"
    return Flag(
        check=check,
        severity="error" if near else "warning",
        said=f"{_counted(images, 'image')} of {names[1]} {what} one of {names[0]} ({under})",
        count=images,
        splits=names,
        cases=listed(rows),
        figures={"pairs": len(rows), "most_alike": float(score[0]), "least_alike": float(score[-1])},
    )


def text_flags(texts: Texts, patients: UInt64[np.ndarray, " n"], splits: Splits) -> Iterator[Flag]:
    """Texts word for word in two splits: a warning where some are long and rare, else a note.

    Short or common ones ("normal chest") are in every split and leak nothing, yet a model that tells
    normal from abnormal answers them: hence the number.
    """
    worded = texts.words > 0
    rows = texts.row[worded]
    keys, words = (np.zeros(len(splits.of_row), kind) for kind in (np.uint64, np.int64))
    keys[texts.row], words[texts.row] = texts.hash, texts.words
    twins = _twins(keys, rows[words[rows] >= TELLING], patients, splits)
    for (one, other), groups in _shared(keys, splits, rows).items():
        telling = twins.get((one, other), [])
        if len(np.unique(patients)) < MANY or len(telling) <= _by_chance(twins, splits, (one, other)):
            telling = []
        held = sum(int((splits.of_row[group] == other).sum()) for group in groups)
        share = held / int((splits.of_row[rows] == other).sum())
        names = (splits.names[one], splits.names[other])
        said = f"{_counted(held, 'text')} of {names[1]} ({share:.0%}) in {names[0]} too, word for word"
        if telling:
            said += f"; {len(telling):,} long and rare: perhaps a study under two ids"
        yield Flag(
            check="shared_texts",
            severity="warning" if telling else "note",
            said=said,
            count=len(groups),
            splits=names,
            cases=listed(telling),
            figures={"texts": held, "share": share, "long_and_rare": len(telling)},
        )


def _twins(
    keys: UInt64[np.ndarray, " n"],
    rows: Int64[np.ndarray, " m"],
    patients: UInt64[np.ndarray, " n"],
    splits: Splits,
) -> dict[tuple[int, int], list[Int64[np.ndarray, " k"]]]:
    """The rows with a key that two patients have and nobody else, by the splits of the two."""
    twins: dict[tuple[int, int], list[Int64[np.ndarray, " k"]]] = defaultdict(list)
    for group in groups_of_equals(keys[rows], rows):
        _, first = np.unique(patients[group], return_index=True)
        if len(first) == 2:
            one, other = sorted(splits.of_row[group[first]].tolist())
            twins[one, other].append(group)
    return dict(twins)


def _by_chance(
    twins: Mapping[tuple[int, int], Sequence[np.ndarray]], splits: Splits, pair: tuple[int, int]
) -> float:
    """The most twins two splits have by chance, from those within one split: expected and three deviations.

    Where reports are written from templates, two patients often have the same one, in one split or in two.
    """
    sizes = np.bincount(splits.of_row, minlength=len(splits.names)).astype(float)
    within = sum(len(groups) for (one, other), groups in twins.items() if one == other)
    expected = within * 2 * sizes[pair[0]] * sizes[pair[1]] / float((sizes**2).sum())
    return float(expected + 3 * np.sqrt(expected))


def _shared(
    keys: UInt64[np.ndarray, " n"], splits: Splits, rows: Int64[np.ndarray, " m"] | None = None
) -> dict[tuple[int, int], list[Int64[np.ndarray, " k"]]]:
    """For each two splits the groups of rows with one key that lie in both; only the rows in these two."""
    chosen = np.arange(len(keys)) if rows is None else rows
    shared: dict[tuple[int, int], list[Int64[np.ndarray, " k"]]] = defaultdict(list)
    for group in groups_of_equals(keys[chosen], chosen):
        numbers = splits.of_row[group]
        for one, other in itertools.combinations(np.unique(numbers).tolist(), 2):
            shared[one, other].append(group[(numbers == one) | (numbers == other)])
    return dict(sorted(shared.items()))


def _leak(check: str, said: str, groups: Sequence[Int64[np.ndarray, " k"]], names: tuple[str, str]) -> Flag:
    in_row_order = sorted(groups, key=lambda group: int(group[0]))
    return Flag(
        check=check,
        severity="error",
        said=said,
        count=len(groups),
        splits=names,
        cases=listed(in_row_order),
        figures={"images": sum(len(group) for group in groups)},
    )


def _counted(count: int, unit: str) -> str:
    plural = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{count:,} {unit if count == 1 else plural}"
