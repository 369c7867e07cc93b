"""Memory that is free, given back to the system."""

from __future__ import annotations

import asyncio
import ctypes
import sys

SECONDS = 10.0  # between two times


async def give_back_memory() -> None:
    """Now and then, until canceled, return what the C library keeps of freed blocks.

    No two batches have the same shapes, so that their blocks leave holes, and a server that is
    asked for minutes keeps twice what it uses. Only glibc can be told to give them back.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    trim = getattr(library, "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(SECONDS)
        await asyncio.to_thread(trim, 0)
