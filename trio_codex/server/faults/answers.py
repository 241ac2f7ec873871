"""HTTP answers that refuse a request, as bytes: what a server or something before it says instead of what was asked for."""

from __future__ import annotations

import json
from typing import Any, Final

import trio

from trio_codex.server.faults.registry import Fault

__all__ = ["answer_to", "read_request"]

_REASONS: Final = {401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
_LARGEST_HEAD: Final = 64 * 1024
_READ_S: Final = 10.0


def answer_to(fault: Fault) -> bytes:
    """The answer that a fault gives; nothing for one that just hangs up."""
    values = fault.values
    match fault.name:
        case "unauthorized":
            return _answer(401, _key_error(values["code"]), framing=values["framing"])
        case "invalid-api-key":
            return _answer(401, _key_error("invalid_api_key"))
        case "expired-key":
            return _answer(401, _key_error("token_expired", "Your ephemeral token has expired."))
        case "model-not-found":
            message = "The model does not exist or you do not have access to it."
            return _answer(404, _error("invalid_request_error", "model_not_found", message, param="model"))
        case "rate-limited":
            message = "Rate limit reached. Please try again later."
            headers = {"Retry-After": f"{values['retry_after']:g}"}
            return _answer(429, _error("rate_limit_error", "rate_limit_exceeded", message), headers)
        case "insufficient-quota":
            message = "You exceeded your current quota, please check your plan and billing details."
            return _answer(429, _error("insufficient_quota", "insufficient_quota", message))
        case "server-error":
            message = "The server had an error while processing your request. Sorry about that!"
            return _answer(values["status"], _error("server_error", None, message))
    return b""


def _key_error(code: str, message: str = "Incorrect API key provided.") -> dict[str, Any]:
    return _error("invalid_request_error", code, message)


def _error(kind: str, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _answer(
    status: int, body: dict[str, Any], headers: dict[str, str] | None = None, *, framing: str = "content-length"
) -> bytes:
    text = json.dumps(body).encode()
    headers = {
        "Content-Type": "application/json",
        "x-request-id": "req_fault",
        **(headers or {}),
        "Connection": "close",
    }
    if framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
        half = len(text) // 2
        text = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (text[:half], text[half:])) + b"0\r\n\r\n"
    elif framing == "content-length":
        headers["Content-Length"] = str(len(text))
    lines = [
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Error')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + text


async def read_request(stream: trio.abc.ReceiveStream) -> tuple[bytes, bytes]:
    """Read the head of a request; gives it, and all that was read. Raises trio.BrokenResourceError, ends early at the end."""
    read = b""
    while b"\r\n\r\n" not in read and len(read) < _LARGEST_HEAD:
        data = await stream.receive_some()
        if not data:
            break
        read += data
    return read.partition(b"\r\n\r\n")[0], read


async def read_to_the_end(stream: trio.abc.ReceiveStream) -> None:
    """Read until the client has hung up, for a while; closing a socket with unread data would take back what was said."""
    with trio.move_on_after(_READ_S):
        try:
            while await stream.receive_some():
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
