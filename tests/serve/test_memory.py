"""Freed memory goes back to the system."""

import asyncio
import ctypes
import platform

import psutil
import pytest

from recbole_genrec.serve import memory


def resident() -> int:
    return psutil.Process().memory_info().rss


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries cannot be told")
def test_holes_between_blocks_are_given_back(monkeypatch):
    monkeypatch.setattr(memory, "SECONDS", 0.01)
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    size, number = 100_000, 1_000  # below what the library takes from the system one by one
    blocks = [library.malloc(size) for _ in range(number)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[::2]:  # the others keep the heap from shrinking at its end
        library.free(block)
    before = resident()

    async def for_a_while() -> None:
        giving_back = asyncio.create_task(memory.give_back_memory())
        await asyncio.sleep(0.2)
        giving_back.cancel()

    asyncio.run(for_a_while())
    given_back = before - resident()
    for block in blocks[1::2]:
        library.free(block)
    assert given_back > 0.5 * size * number / 2
