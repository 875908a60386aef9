"""What crosses between Python and the engine, each module beside the Rust file that it names.

The encoding is MessagePack maps with names. `test_messages.py` sends every message through Rust and back.
"""

from __future__ import annotations

from pysfu.messages.base import *
from pysfu.messages.commands import *
from pysfu.messages.control import *
from pysfu.messages.echo import *
from pysfu.messages.events import *
from pysfu.messages.figures import *
from pysfu.messages.plan import *
from pysfu.messages.replies import *
from pysfu.messages.session import *
from pysfu.messages.warnings import *
from pysfu.messages.wire import *
