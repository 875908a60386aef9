"""`pysfu`, whose signalling process stops the moment it has told the media process to remove somebody.

As a program: `python -P stalling.py INSTANTS serve …`; the instants, in nanoseconds since 1970, are appended to a file.
The signal stops all threads at once: not a line of Python runs until somebody lets the process go on.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time

from pysfu import messages
from pysfu._remote import RemoteCore

INSTANTS = sys.argv.pop(1)

_submit = RemoteCore.submit


def _stopping(core: RemoteCore, worker: int, request: messages.Request) -> bool:
    """Hands a request over; stops then, if that was to remove somebody."""
    handed_ns = time.time_ns()
    is_taken = _submit(core, worker, request)
    if is_taken and isinstance(request.command, messages.RemovePeer):
        if core._unsent:
            raise RuntimeError("the control socket was full: the removal has not been sent")
        with open(INSTANTS, "a") as instants:  # noqa: PTH123
            instants.write(f"{handed_ns}\n")
        os.kill(os.getpid(), signal.SIGSTOP)
    return is_taken


RemoteCore.submit = _stopping  # type: ignore[method-assign]
runpy.run_module("signalling.cli", run_name="__main__")
