"""Streams whose reader goes away or stands still: nothing is left behind for the loop to report."""

import asyncio
import gc
from typing import Any

import pytest

from memory.errors import Overloaded
from runtime.services.call import CallInterceptor


class StalledReader:
    """A context whose write never ends by itself and fails when it is cancelled, as gRPC's does."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()

    async def write(self, message: object) -> None:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise RuntimeError("the stream is broken") from error


async def reported(wait: Any) -> list[dict[str, Any]]:
    """Runs `wait` and returns what the loop complained of, once garbage is collected."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: complaints.append(about))
    await wait
    for _ in range(5):
        await asyncio.sleep(0)  # Lets callbacks run; it waits for nothing.
        gc.collect()
    return complaints


async def test_a_cancelled_handler_leaves_no_unheard_failure_of_its_write() -> None:
    interceptor = CallInterceptor(calls_max=1, write_stalled_s=60.0)
    reader = StalledReader()

    async def cancelled() -> None:
        writing = asyncio.ensure_future(interceptor._write(reader, b""))
        await reader.waiting.wait()
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing

    assert [] == await reported(cancelled())


async def test_a_reader_that_stands_still_is_told_so_and_nothing_else_is_reported() -> None:
    interceptor = CallInterceptor(calls_max=1, write_stalled_s=0.01)

    async def stalled() -> None:
        with pytest.raises(Overloaded, match="took nothing"):
            await interceptor._write(StalledReader(), b"")

    assert [] == await reported(stalled())
