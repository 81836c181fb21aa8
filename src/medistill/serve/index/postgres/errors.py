"""What PostgreSQL and libpq say, in one line of ours that quotes no address, no user and no data."""

import re
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
from psycopg import errors

from medistill.errors import CallError, MedistillError

_CONNECTING = (
    (r"no password supplied", "it asks for a password: put one into ~/.pgpass, a service file or PGPASSWORD"),
    (r"authentication failed", "it refuses this user or password"),
    (
        r"no pg_hba\.conf entry|pg_hba\.conf rejects",
        "its pg_hba.conf does not admit this user from this host",
    ),
    (r'role ".*" does not exist', "it has no such user"),
    (r'database ".*" does not exist', "it has no such database"),
    (r"permission denied for database", "this user may not connect to that database"),
    (r"could not translate host name|failed to resolve host", "there is no host of that name"),
    (r"[Cc]onnection refused|No such file or directory", "no server listens there"),
    (r"timeout|timed out", "no answer in time"),
    (r"too many|connection slots", "it has no connection left"),
    (r"service .* not found|service file", "the service of the address is in no service file"),
    (r"starting up|shutting down|recovery", "it is starting or stopping: try again"),
    (r"SSL|certificate", "it and this address do not agree on encryption (sslmode)"),
)
_READ = "GRANT USAGE ON SCHEMA {0}, and SELECT ON ALL TABLES IN SCHEMA {0}"
_WRITE = "INSERT, UPDATE, DELETE to change the index too"


def unreachable(error: Exception) -> MedistillError:
    """Why there is no connection."""
    said = str(error)
    known = [reason for pattern, reason in _CONNECTING if re.search(pattern, said)]
    reason = known[0] if known else "`psql` with the same address tells why"
    return MedistillError(f"cannot connect to the PostgreSQL server: {reason}")


@contextmanager
def in_one_line(schema: str) -> Generator[None]:
    """Errors of statements as CallError where the caller can change something, else as MedistillError."""
    try:
        yield
    except psycopg.Error as error:
        raise _told(error, schema) from None


def _told(error: psycopg.Error, schema: str) -> MedistillError:
    match error:
        case errors.InsufficientPrivilege():
            grants = f"{_READ.format(schema)}; {_WRITE}"
            return CallError(f"the user has not the rights this takes: its owner can grant them ({grants})")
        case errors.LockNotAvailable():
            return CallError("another run is writing this index: wait for it")
        case errors.QueryCanceled():
            return MedistillError("the database took too long or was told to stop; nothing was changed")
        case errors.ReadOnlySqlTransaction():
            return CallError("that server only reads (a standby?): change the index on the primary server")
        case errors.DiskFull():
            return MedistillError("the disk of the database is full; nothing was changed")
        case errors.CharacterNotInRepertoire() | errors.UntranslatableCharacter():
            return CallError("an id, a view or a source holds a character that PostgreSQL cannot store (NUL)")
        case errors.UndefinedTable() | errors.InvalidSchemaName():
            return CallError(f"the index is no longer there: its tables in schema {schema} were removed")
        case psycopg.OperationalError():
            return MedistillError("the connection to the database was lost; the same call can be made again")
        case _:
            return MedistillError(f"the database refused: {type(error).__name__}, SQLSTATE {error.sqlstate}")
