"""The columns of a corpus, and what must hold in them before anything is read."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # makes its functions when it is imported, unseen by pyright
types: Any = pa.types
NEEDED = ("study_id", "patient_id", "split", "image", "view", "text", "labels", "mask")
_NEVER_NULL = ("study_id", "patient_id", "split", "text")
_COUNTED = 5
"""Values named in one line."""


def corpus_schema(findings: Sequence[str]) -> pa.Schema:
    """What `medistill prepare` writes."""

    def per_finding(kind: pa.DataType) -> pa.StructType:
        return pa.struct([pa.field(finding, kind) for finding in findings])

    return pa.schema(
        {
            "study_id": pa.string(),
            "patient_id": pa.string(),
            "split": pa.string(),
            "image": pa.large_binary(),
            "view": pa.string(),
            "sex": pa.string(),
            "age": pa.float32(),
            "date": pa.date32(),
            "text": pa.string(),
            "findings": pa.string(),
            "impression": pa.string(),
            "labels": per_finding(pa.int8()),
            "boxes": per_finding(pa.list_(pa.float32())),
            "mask": per_finding(pa.large_binary()),
            "source": pa.string(),
        }
    )


def _is_text(kind: pa.DataType) -> bool:
    return types.is_string(kind) or types.is_large_string(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return types.is_binary(kind) or types.is_large_binary(kind)


def _is_list_of_numbers(kind: Any) -> bool:
    return (types.is_list(kind) or types.is_large_list(kind)) and types.is_floating(kind.value_type)


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "image": ("bytes", _is_bytes),
    "age": ("numbers", types.is_floating),
    "date": ("dates", types.is_date),
    "labels": ("whole numbers by finding", types.is_signed_integer),
    "boxes": ("lists of numbers by finding", _is_list_of_numbers),
    "mask": ("bytes by finding", _is_bytes),
}
_BY_FINDING = ("labels", "boxes", "mask")


def column_faults(table: pa.Table, findings: Sequence[str], splits: Sequence[str]) -> Iterator[str]:
    """What is wrong with the columns of a corpus: their types, and what they hold if those fit."""
    missing = [name for name in NEEDED if name not in table.column_names]
    if missing:
        yield f"lacks the column `{missing[0]}`"
        return
    wrong = [*_wrong_types(table, findings)]
    yield from wrong
    if not wrong:
        yield from null_faults(table, _NEVER_NULL)
        yield from _unknown("split", table["split"], splits)
        yield from label_faults(table)
        yield from _infinite(table)


def _wrong_types(table: pa.Table, findings: Sequence[str]) -> Iterator[str]:
    for name in corpus_schema(findings).names:
        if name not in table.column_names:  # of an earlier version
            continue
        kind: Any = table.schema.field(name).type
        expected, fits = _KINDS.get(name, ("text", _is_text))
        if name not in _BY_FINDING:
            if not fits(kind):
                yield f"has {kind} as `{name}`, expected {expected}"
        elif not types.is_struct(kind):
            yield f"has {kind} as `{name}`, expected {expected}"
        elif name == "labels" and [field.name for field in kind] != list(findings):
            yield "and card.json name different findings"
        else:
            yield from (
                f"has {field.type} as `{name}` of a finding, expected {expected}"
                for field in kind
                if not fits(field.type)
            )


def null_faults(table: pa.Table, names: Iterable[str]) -> Iterator[str]:
    """Columns with cells that hold nothing, where each must hold something."""
    for name in names:
        if table[name].null_count:
            yield f"has {table[name].null_count:,} rows without `{name}`"


def label_faults(table: pa.Table) -> Iterator[str]:
    """Labels that are none."""
    for labels in struct_columns(table["labels"]):
        ends = pc.min_max(labels).as_py()
        if ends["min"] is not None and (ends["min"] < -1 or ends["max"] > 1):
            other = ends["min"] if ends["min"] < -1 else ends["max"]
            yield f"has a label of {other}, expected 1 present, 0 absent or -1 uncertain"
            return


def struct_columns(column: pa.ChunkedArray) -> list[pa.Array]:
    """A column a field of a struct, null where the struct is."""
    structs: Any = pa.chunked_array(column.chunks, column.type).combine_chunks()
    return structs.flatten()


def _unknown(name: str, column: pa.ChunkedArray, known: Sequence[str]) -> Iterator[str]:
    others = sorted(set(pc.unique(column).to_pylist()) - set(known))
    if others:
        named = ", ".join(repr(value[:40]) for value in others[:_COUNTED])
        yield f"has rows of the {name} {named}, card.json knows {', '.join(known) or 'none'}"


def _infinite(table: pa.Table) -> Iterator[str]:
    """Ages and boxes that are no numbers."""
    if "age" in table.column_names and not _finite(table["age"]):
        yield "has an `age` that is no finite number"
    if "boxes" in table.column_names:
        for boxes in struct_columns(table["boxes"]):
            if not _finite(pc.list_flatten(boxes)):
                yield "has a box with a coordinate that is no finite number"
            elif any(length % 4 for length in pc.unique(pc.list_value_length(boxes)).drop_null().to_pylist()):
                yield "has a box without four coordinates"


def _finite(numbers: Any) -> bool:
    """Nulls left out."""
    return pc.all(pc.is_finite(numbers)).as_py() is not False
