"""The tables of an index in PostgreSQL: made, and found."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from psycopg import Cursor, errors, sql

from medistill.errors import CallError
from medistill.serve.index.about import About
from medistill.system.progress import Progress, counted

FORMAT = 1
"""Version of the layout; an index of another version is refused."""
EXTENSION = "vector"
_LEAST_VERSION = (0, 8)
"""The first with iterative scans."""
_MOST_DIM, _GRAPH_DIM = 16_000, 2_000
"""What pgvector stores, and what its graph takes."""
_MAKING = 0x6D656469
"""The advisory lock of those who make an index: any number that is the same in all of them."""
_TABLES = """
CREATE TABLE {about} (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    format integer NOT NULL,
    told text NOT NULL,
    images bigint NOT NULL,
    state uuid NOT NULL
);
CREATE TABLE {image} (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id uuid NOT NULL UNIQUE,
    study_id text COLLATE "C" NOT NULL,
    patient_id text COLLATE "C" NOT NULL,
    split text NOT NULL,
    view text COLLATE "C",
    sex text COLLATE "C",
    age real,
    date date,
    source text COLLATE "C",
    text text,
    labels jsonb NOT NULL,
    "row" bigint NOT NULL,
    vector {vector}({dim}) NOT NULL
);
ALTER TABLE {image} ALTER vector SET STORAGE MAIN;
CREATE INDEX ON {image} (study_id);
CREATE INDEX ON {image} (view);
CREATE INDEX ON {image} (sex);
CREATE INDEX ON {image} (source);
CREATE INDEX ON {image} (age);
CREATE INDEX ON {image} (date);
CREATE INDEX ON {image} USING gin (labels jsonb_path_ops);
"""
_GRAPH = "CREATE INDEX image_graph ON {image} USING hnsw (vector {products})"


@dataclass(frozen=True, kw_only=True)
class Names:
    """Everything that statements name, in full."""

    schema: str
    extension_schema: str

    def fill(self, statement: str, **more: sql.Composable) -> sql.Composed:
        """The statement with its {names}; what users give goes into its %s, never through here."""
        return sql.SQL(statement).format(  # pyright: ignore[reportArgumentType] - ours, if not literal
            about=sql.Identifier(self.schema, "about"),
            image=sql.Identifier(self.schema, "image"),
            vector=sql.Identifier(self.extension_schema, "vector"),
            products=sql.Identifier(self.extension_schema, "vector_ip_ops"),
            times=sql.SQL("OPERATOR({}.<#>)").format(sql.Identifier(self.extension_schema)),
            **more,
        )


def find(cursor: Cursor, schema: str) -> Names | None:
    """None if there is no index; CallError if there is one that cannot be read."""
    if not _is_there(cursor, schema):
        return None
    names = Names(schema=schema, extension_schema=_extension(cursor) or _lacks_extension())
    try:
        cursor.execute(names.fill("SELECT format FROM {about}"))
        (version,) = cursor.fetchone() or (None,)
    except errors.UndefinedColumn:
        raise _taken(schema) from None
    if version != FORMAT:
        raise CallError(
            f"the index in schema {schema} is of format {version}, expected {FORMAT}: index its tables again"
        )
    return names


def make(cursor: Cursor, schema: str, about: About) -> Names:
    """An empty index for vectors of that model, unless there is one. CallError names what it lacks."""
    if about.dim > _MOST_DIM:
        raise CallError(f"found vectors of {about.dim} numbers, pgvector stores up to {_MOST_DIM:,}")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_MAKING])
    if known := find(cursor, schema):
        return known
    names = Names(schema=schema, extension_schema=_extension(cursor) or _make_extension(cursor))
    _make_schema(cursor, schema)
    with _administrator(f"GRANT CREATE, USAGE ON SCHEMA {schema} TO this user"):
        try:
            cursor.execute(names.fill(_TABLES, dim=sql.Literal(about.dim)))
        except errors.DuplicateTable:
            raise _taken(schema) from None
    text = json.dumps(replace(about, corpora=()).as_json())
    inserted = "INSERT INTO {about} (format, told, images, state) VALUES (%s, %s, 0, gen_random_uuid())"
    cursor.execute(names.fill(inserted), [FORMAT, text])
    return names


def has_graph(cursor: Cursor, names: Names) -> bool:
    query = (
        "SELECT FROM pg_indexes WHERE schemaname = %s AND tablename = 'image' AND indexname = 'image_graph'"
    )
    return cursor.execute(query.encode(), [names.schema]).fetchone() is not None


def make_graph(cursor: Cursor, names: Names, dim: int, on_progress: Progress | None) -> None:
    """The HNSW graph over all images, unless there is one; none where vectors are too wide for it."""
    if dim > _GRAPH_DIM or has_graph(cursor, names):
        return
    with _administrator("GRANT owner_of_the_tables TO this user, who adds the HNSW graph"):
        tell = counted(on_progress, "building the graph", 1)
        tell(0)
        cursor.execute(names.fill(_GRAPH))
        tell(1)


def _is_there(cursor: Cursor, schema: str) -> bool:
    """By the catalog, which everybody may read."""
    query = "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'about'"
    return cursor.execute(query, [schema]).fetchone() is not None


def _extension(cursor: Cursor) -> str | None:
    """The schema of pgvector; None if this database has it not. CallError if it is too old."""
    (encoding,) = cursor.execute("SELECT current_setting('server_encoding')").fetchone() or (None,)
    if encoding != "UTF8":
        raise CallError(
            f"the database stores text as {encoding}, expected UTF8: make one with ENCODING 'UTF8'"
        )
    cursor.execute(
        "SELECT extversion, nspname, has_schema_privilege(extnamespace, 'USAGE') "
        "FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace "
        "WHERE extname = %s",
        [EXTENSION],
    )
    if (extension := cursor.fetchone()) is None:
        return None
    version, schema, is_usable = extension
    if not is_usable:
        raise CallError(
            f"this user may not use pgvector; an administrator must run: GRANT USAGE ON SCHEMA {schema} TO "
            "this user"
        )
    if _numbers(version) < _LEAST_VERSION:
        least = ".".join(map(str, _LEAST_VERSION))
        raise CallError(
            f"the database has pgvector {version}, expected {least} or newer: an administrator must "
            f"install it and run: ALTER EXTENSION {EXTENSION} UPDATE"
        )
    return schema


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _make_extension(cursor: Cursor) -> str:
    with _administrator(f"CREATE EXTENSION {EXTENSION} SCHEMA public"):
        try:
            cursor.execute(sql.SQL("CREATE EXTENSION {} SCHEMA public").format(sql.Identifier(EXTENSION)))
        except (errors.FeatureNotSupported, errors.UndefinedFile):
            raise CallError(
                "the server has no pgvector: an administrator must install it there (0.8 or newer; in Debian "
                "the package postgresql-VERSION-pgvector)"
            ) from None
    return _extension(cursor) or _lacks_extension()


def _make_schema(cursor: Cursor, schema: str) -> None:
    if cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", [schema]).fetchone() is not None:
        return
    with _administrator(f"CREATE SCHEMA {schema} AUTHORIZATION this user"):
        cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


@contextmanager
def _administrator(call: str) -> Generator[None]:
    try:
        yield
    except errors.InsufficientPrivilege:
        raise CallError(
            f"this user has not the rights; an administrator of the database must run: {call}"
        ) from None


def _lacks_extension() -> str:
    raise CallError(f"the database lacks pgvector: an administrator must run: CREATE EXTENSION {EXTENSION}")


def _taken(schema: str) -> CallError:
    return CallError(f"schema {schema} holds tables that are no index: name another with ?schema=NAME")
