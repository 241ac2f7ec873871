"""The Trio client that comes with websockets 17, bare, with orjson."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from websockets.trio.client import connect

from benchmarks.client import Client
from benchmarks.contestants.bare import UPDATE
from benchmarks.contestants.under_trio import UnderTrio
from benchmarks.contestants.websockets_asyncio import SocketCall


class TrioClient(UnderTrio):
    """Connections under Trio."""

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[SocketCall]:
        """Connect and send the settings.

        It is left without a goodbye: while messages wait that nobody has read, its reader is paused and its closing waits for ever
        (websockets 17.4), even longer than its `close_timeout`.
        """
        with trio.CancelScope() as leaving:
            async with connect(url, max_size=None, compression=None) as socket:
                await socket.send(UPDATE)
                yield SocketCall(socket)
                leaving.cancel()


CLIENT: Client = TrioClient()
