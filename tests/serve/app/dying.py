"""A reader of files that does not survive one."""

import os
import signal


def die(upload: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
