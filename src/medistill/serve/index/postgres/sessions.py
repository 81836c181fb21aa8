"""A few connections to PostgreSQL that threads take turns with, one transaction at a time."""

import logging
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import Connection, Cursor, IsolationLevel, conninfo, pq

from medistill.errors import CallError
from medistill.serve.index.postgres.errors import in_one_line, unreachable

logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings name host, user and database
_MOST = 8
"""Connections at once: more searches than that wait for one another."""
SEARCH_SECONDS = 30
_ALWAYS = {"search_path": "pg_catalog", "jit": "off"}
"""Names mean nothing but PostgreSQL's own unless they are written in full. jit takes longer than a search."""
_READING = _ALWAYS | {"statement_timeout": f"{SEARCH_SECONDS}s"}
_WRITING = _ALWAYS | {"statement_timeout": "0", "synchronous_commit": "on"}
SCHEMA = "medistill"
_EXPECTED = "expected postgresql://[USER@]HOST[:PORT]/DATABASE[?schema=NAME]"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OURS = "schema="
_DEFAULTS = {
    "connect_timeout": "10",
    "fallback_application_name": "medistill",
    # Of a server that has vanished without a word the system would say nothing for a quarter of an hour.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an index is; it is never shown, for hosts and users are nobody else's business."""

    conninfo: str = field(repr=False)
    """As libpq takes it."""
    schema: str = SCHEMA


def address_of(name: str) -> Address:
    """CallError, which does not quote it, for an address that libpq cannot read or that carries a secret."""
    base, _, query = name.partition("?")
    options = [part for part in query.split("&") if part]
    schemas = [part.removeprefix(_OURS) for part in options if part.startswith(_OURS)] or [SCHEMA]
    rest = "&".join(part for part in options if not part.startswith(_OURS))
    if len(schemas) > 1 or not _NAME.fullmatch(schemas[0]) or schemas[0].startswith("pg_"):
        raise CallError(
            "the schema in the PostgreSQL address is no name to use: expected one of small letters, digits "
            "and _, not beginning with pg_"
        )
    return Address(conninfo=_checked(f"{base}?{rest}" if rest else base), schema=schemas[0])


def _checked(uri: str) -> str:
    try:
        options = pq.Conninfo.parse(uri.encode())
    except (psycopg.OperationalError, UnicodeEncodeError, ValueError):
        raise CallError(f"the PostgreSQL address is not one that libpq reads: {_EXPECTED}") from None
    given = {option.keyword.decode(): option for option in options if option.val is not None}
    if any(option.dispchar == b"*" and option.val for option in given.values()):  # libpq's mark of a secret
        raise CallError(
            "there is a password in the PostgreSQL address, which everybody sees in the list of processes: "
            "put it into ~/.pgpass, a service file or PGPASSWORD instead"
        )
    added = {name: value for name, value in _DEFAULTS.items() if name not in given}
    return conninfo.make_conninfo(uri, client_encoding="UTF8", **added)


class Sessions:
    """Every setting is for one transaction, so that a pooler between may share connections as well."""

    def __init__(self, address: Address) -> None:
        self.schema = address.schema
        self._address = address
        self._turn = threading.Semaphore(_MOST)
        self._idle: list[Connection] = []
        self._closed = False

    @contextmanager
    def reading(self) -> Generator[Cursor]:
        """A transaction that sees one state of the database from its first to its last statement."""
        with self._transaction(_READING, IsolationLevel.REPEATABLE_READ, read_only=True) as cursor:
            yield cursor

    @contextmanager
    def writing(self) -> Generator[Cursor]:
        """A transaction that is on the disk once this is left, or undone if an exception leaves it."""
        with self._transaction(_WRITING, IsolationLevel.READ_COMMITTED, read_only=False) as cursor:
            yield cursor

    def close(self) -> None:
        """Of connections that are in use, each when its transaction ends."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _transaction(
        self, settings: Mapping[str, str], level: IsolationLevel, *, read_only: bool
    ) -> Generator[Cursor]:
        with in_one_line(self.schema), self._turn:
            connection = self._begun(settings, level, read_only)
            try:
                with connection.cursor() as cursor:
                    yield cursor
                connection.commit()
            except BaseException:
                with suppress(psycopg.Error):  # a lost connection has rolled back by itself
                    connection.rollback()
                raise
            finally:
                self._put_back(connection)

    def _begun(self, settings: Mapping[str, str], level: IsolationLevel, read_only: bool) -> Connection:
        """A connection in a new transaction; one that the server has closed meanwhile is made again."""
        # psycopg_pool hides why a server cannot be reached behind its own timeout, tries again in threads
        # of its own, and logs the host: what follows tells the reason at once, in one line.
        while True:
            connection, fresh = self._taken()
            try:
                connection.isolation_level, connection.read_only = level, read_only
                with connection.cursor() as cursor:
                    set_locally(cursor, settings)
                return connection
            except psycopg.OperationalError:
                connection.close()
                if fresh:
                    raise

    def _taken(self) -> tuple[Connection, bool]:
        with suppress(IndexError):  # list.pop is atomic, where a look at its length before would not be
            return self._idle.pop(), False
        try:
            return psycopg.connect(self._address.conninfo, prepare_threshold=None), True
        except (psycopg.OperationalError, UnicodeError) as error:  # the latter for a name no host can have
            raise unreachable(error) from None

    def _put_back(self, connection: Connection) -> None:
        if self._closed or connection.closed:
            connection.close()
        else:
            self._idle.append(connection)


def set_locally(cursor: Cursor, settings: Mapping[str, str]) -> None:
    """Until the end of the transaction."""
    calls = ", ".join(["set_config(%s, %s, true)"] * len(settings))
    cursor.execute(f"SELECT {calls}".encode(), [word for setting in settings.items() for word in setting])
