from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import trio
import trustme

from trio_codex.transport.wires import READ_BYTES, SocketWire, TlsWire


@contextmanager
def both_ends() -> Iterator[tuple[SocketWire, socket.socket]]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, 4 * READ_BYTES)
    wire = SocketWire(ours)
    with theirs:
        yield wire, theirs
        wire.close()


async def test_after_a_full_read_others_have_their_turn_and_the_rest_is_read() -> None:
    with both_ends() as (wire, theirs):
        theirs.sendall(bytes(READ_BYTES + 5))
        assert len(wire.read() or b"") == READ_BYTES
        ran: list[str] = []

        async def other() -> None:
            ran.append("other")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await wire.wait_readable()
            await trio.lowlevel.checkpoint()  # the order within a turn is by chance
            ran.append("we")
        assert ran == ["other", "we"]
        assert wire.read() == bytes(5)


async def test_a_full_read_that_was_the_last_one_is_followed_by_waiting() -> None:
    with both_ends() as (wire, theirs):
        theirs.sendall(bytes(READ_BYTES))
        assert len(wire.read() or b"") == READ_BYTES
        await wire.wait_readable()
        assert wire.read() is None
        with trio.move_on_after(0.01) as limit:
            await wire.wait_readable()
        assert limit.cancelled_caught
        theirs.sendall(b"more")
        await wire.wait_readable()
        assert wire.read() == b"more"


async def test_waiting_after_a_full_read_can_be_cancelled() -> None:
    with both_ends() as (wire, theirs):
        theirs.sendall(bytes(READ_BYTES) + b"more")
        assert len(wire.read() or b"") == READ_BYTES
        with trio.CancelScope() as scope:
            scope.cancel()
            await wire.wait_readable()
        assert scope.cancelled_caught
        assert wire.read() == b"more"


class Across:
    """A wire to a peer that speaks TLS, in memory; what stands in `says` is read at once."""

    full = False

    def __init__(self, authority: trustme.CA) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("here", key_type=trustme.KeyType.ECDSA).configure_cert(context)
        self.hears, self.says = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.hears, self.says, server_side=True)
        self.gone = False

    def write(self, data: bytes) -> bool:
        if self.gone:
            raise BrokenPipeError
        self.hears.write(data)
        with suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return True

    def read(self) -> bytes | None:
        return self.says.read() or None

    async def wait_readable(self) -> None:
        assert self.says.pending, "nothing more will come"
        await trio.lowlevel.checkpoint()

    async def wait_writable(self) -> None:
        raise AssertionError("everything is taken at once")

    def close(self) -> None:
        raise AssertionError("nobody closes")


ALERT = b"\x15\x03\x03\x00\x02\x02\x50"
"""Of an internal error, as nobody may say it once keys are agreed upon: TLS takes it for a broken record."""


async def tls_and_peer() -> tuple[TlsWire, Across]:
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    peer = Across(authority)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    wire = TlsWire(peer, context, "here")
    await wire.handshake()
    return wire, peer


@pytest.mark.parametrize("gone", [False, True])
async def test_what_was_said_before_a_broken_record_is_heard(gone: bool) -> None:
    wire, peer = await tls_and_peer()
    peer.gone = gone
    peer.tls.write(b"good")
    peer.tls.write(b"bye")
    peer.says.write(ALERT)
    assert wire.read() == b"goodbye"
    await wire.wait_readable()
    with suppress(ssl.SSLError):  # some versions of OpenSSL may say it again
        assert wire.read() == b""


async def test_a_broken_record_alone_breaks_the_wire() -> None:
    wire, peer = await tls_and_peer()
    peer.says.write(ALERT)
    with pytest.raises(ssl.SSLError):
        wire.read()
