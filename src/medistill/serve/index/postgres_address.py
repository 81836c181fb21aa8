"""The address of an index in PostgreSQL: a connection URI and a schema."""

import re
from dataclasses import dataclass, field

import psycopg
from psycopg import conninfo, pq

from medistill.errors import CallError

SCHEMA = "medistill"
_EXPECTED = "expected postgresql://[USER@]HOST[:PORT]/DATABASE[?schema=NAME]"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OURS = "schema="
_DEFAULTS = {"connect_timeout": "10", "fallback_application_name": "medistill"}


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an index is; it is never shown, for hosts and users are nobody else's business."""

    conninfo: str = field(repr=False)
    """As libpq takes it."""
    schema: str = SCHEMA


def address_of(name: str) -> Address:
    """CallError, which does not quote it, for an address that libpq cannot read or that carries a secret."""
    base, _, query = name.partition("?")
    asked = [part for part in query.split("&") if part]
    schemas = [part.removeprefix(_OURS) for part in asked if part.startswith(_OURS)] or [SCHEMA]
    rest = "&".join(part for part in asked if not part.startswith(_OURS))
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
