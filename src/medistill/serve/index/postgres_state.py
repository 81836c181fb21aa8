"""What an index in PostgreSQL is of, and which of its states a transaction sees."""

import json
from dataclasses import dataclass
from uuid import UUID

from psycopg import Cursor

from medistill.errors import CallError
from medistill.serve.index.about import About, about_from_json
from medistill.serve.index.postgres_schema import Names

_READ = "SELECT told, images, state FROM {about}"
_LOCK = _READ + " FOR UPDATE NOWAIT"
_WRITE = "UPDATE {about} SET told = %s, images = %s, state = gen_random_uuid()"


@dataclass(frozen=True)
class State:
    """Every change gives another stamp."""

    about: About
    images: int
    stamp: UUID


def read_state(cursor: Cursor, names: Names) -> State:
    return _state(cursor, names, _READ)


def lock_state(cursor: Cursor, names: Names) -> State:
    """The newest; nobody else can change it before this transaction ends. LockNotAvailable if somebody is."""
    return _state(cursor, names, _LOCK)


def write_state(cursor: Cursor, names: Names, about: About, images: int) -> None:
    cursor.execute(names.fill(_WRITE), [json.dumps(about.as_json()), images])


def _state(cursor: Cursor, names: Names, statement: str) -> State:
    try:
        (row,) = cursor.execute(names.fill(statement))
        told, images, stamp = row
        return State(about_from_json(json.loads(told)), images, stamp)
    except (KeyError, TypeError, ValueError):
        raise CallError(f"the index in schema {names.schema} is damaged: make another") from None
