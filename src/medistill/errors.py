"""The errors a user is meant to read, one line each."""


class MedistillError(Exception):
    """A check or a run failed; the command line prints the message and exits with status 1."""

    status = 1


class StoppedError(MedistillError):
    """Work that was asked to stop has saved what it has; the same command goes on with it."""


class CallError(MedistillError):
    """The call itself was wrong (a path, a column, a value); the command line exits with status 2."""

    status = 2


def first_line(error: BaseException) -> str:
    """What its message says first, in one line of at most 300 characters, or its type."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return said if len(said) <= 300 else f"{said[:297]}..."
