"""The pysfu signalling server."""

import sys

# structlog loads rich where that is installed, as it is with typer: for tracebacks in colour, which JSON never holds.
# A server would take 4 MiB more. It looks when it is loaded, and this comes before everything else here.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment] # what says to `import` that there is none
    import structlog  # noqa: F401

    del sys.modules["rich"]
