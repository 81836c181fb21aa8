"""Runs commands of medistill one after another and writes, as JSON, how each ended and what it left or sent.

For a namespace of `alone.py`; arguments are the file to write and the commands, a word each. A command is a
child of this process, which has imported libraries that no command has a say in: most of what a short one
takes. What it left is all that lies in the folders for the home and for temporary files.
"""

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":  # processes that a command starts import this file again
    import sklearn.linear_model  # noqa: F401
    import torch._dynamo  # noqa: F401

    from alone import counters

    sys.path.pop(0)  # the tests' folder: no command would find a module there
    ends, *commands = sys.argv[1:]
    told = []
    for command in commands:
        before = counters()
        child = os.fork()
        if not child:
            from medistill.cli import main

            main(command.split())
            sys.exit()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sent = {name: count - before[name] for name, count in counters().items()}
        left = [str(path) for name in ("HOME", "TMPDIR") for path in Path(os.environ[name]).rglob("*")]
        told.append({"command": command, "status": status, **sent, "left": left})
        Path(ends).write_text(json.dumps(told))
