"""The command line: a file a command."""

from medistill.cli.commands import COMMANDS, main

__all__ = ["COMMANDS", "main"]
