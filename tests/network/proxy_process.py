"""A proxy as a process of its own: HTTP CONNECT and SOCKS5 on one port, with `user:password` if it is given one.

Prints its port, and then a line for each request: how it was asked, and for which place. Every name below `.test` is this machine, and
nobody but this proxy knows them.
"""

from __future__ import annotations

import base64
import struct
import sys

import trio

CREDENTIALS = sys.argv[1] if len(sys.argv) > 1 else ""


class Stream:
    def __init__(self, tcp: trio.SocketStream) -> None:
        self.tcp = tcp
        self.unread = b""

    async def read(self, count: int) -> bytes:
        while len(self.unread) < count:
            data = await self.tcp.receive_some()
            if not data:
                raise EOFError
            self.unread += data
        data, self.unread = self.unread[:count], self.unread[count:]
        return data

    async def read_head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await self.read(1)
        return head


async def serve(tcp: trio.SocketStream) -> None:
    stream = Stream(tcp)
    try:
        first = await stream.read(1)
        stream.unread = first + stream.unread
        await (socks(stream) if first == b"\x05" else connect(stream))
    except (EOFError, trio.BrokenResourceError):
        pass


async def connect(stream: Stream) -> None:
    head = (await stream.read_head()).decode()
    method, place, _ = head.partition("\r\n")[0].split()
    wanted = "Basic " + base64.b64encode(CREDENTIALS.encode()).decode()
    given = [line.partition(": ")[2] for line in head.split("\r\n") if line.lower().startswith("proxy-authorization:")]
    print(method, place, flush=True)
    if CREDENTIALS and given != [wanted]:
        await stream.tcp.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        return
    host, _, port = place.rpartition(":")
    await join(
        stream, host, int(port), b"HTTP/1.1 200 Connection established\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
    )


async def socks(stream: Stream) -> None:
    _, count = await stream.read(2)
    offered = await stream.read(count)
    if CREDENTIALS:
        if 2 not in offered:
            await stream.tcp.send_all(b"\x05\xff")
            return
        await stream.tcp.send_all(b"\x05\x02")
        _, size = await stream.read(2)
        name = await stream.read(size)
        password = await stream.read((await stream.read(1))[0])
        if name + b":" + password != CREDENTIALS.encode():
            await stream.tcp.send_all(b"\x01\x01")
            return
        await stream.tcp.send_all(b"\x01\x00")
    else:
        await stream.tcp.send_all(b"\x05\x00")
    _, _, _, kind = await stream.read(4)
    host = (
        ".".join(map(str, await stream.read(4)))
        if kind == 1
        else (await stream.read((await stream.read(1))[0])).decode()
    )
    [port] = struct.unpack("!H", await stream.read(2))
    print("SOCKS5", f"{host}:{port}", flush=True)
    address = b"\x00\x01\x00\x00\x00\x00\x00\x00"
    await join(stream, host, port, b"\x05\x00" + address, b"\x05\x04" + address)


async def join(stream: Stream, host: str, port: int, done: bytes, failed: bytes) -> None:
    if not host.endswith(".test"):  # a name that nobody knows
        await stream.tcp.send_all(failed)
        return
    far = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.tcp.send_all(done)
    async with far, trio.open_nursery() as nursery:
        nursery.start_soon(pump, stream.tcp, far, nursery.cancel_scope)
        nursery.start_soon(pump, far, stream.tcp, nursery.cancel_scope)


async def pump(source: trio.SocketStream, sink: trio.SocketStream, scope: trio.CancelScope) -> None:
    try:
        async for data in source:
            await sink.send_all(data)
    except trio.BrokenResourceError:
        pass
    scope.cancel()


async def main() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listener.socket.getsockname()[1], flush=True)

    async def handle(tcp: trio.SocketStream) -> None:
        async with tcp:
            await serve(tcp)

    await trio.serve_listeners(handle, [listener])


if __name__ == "__main__":
    trio.run(main)
