"""The errors a user is meant to read, one line each."""


class MedistillError(Exception):
    """A check or a run failed; the command line prints the message and exits with status 1."""

    status = 1


class StoppedError(MedistillError):
    """Work that was asked to stop has saved what it has; the same command goes on with it."""


class CallError(MedistillError):
    """The call itself was wrong (a path, a column, a value); the command line exits with status 2."""

    status = 2
