"""One client's connection: aiohttp's protocol, bounded in time and size (docs/spec/api-security.md#limits).

aiohttp bounds the idle time of a connection only. Here a request has to arrive within the read time-out
and an answer has to be taken within the write time-out, also from a client that sends or reads single
bytes; a connection counts as busy from the first byte of a request to the last byte of its answer. What is
not HTTP is answered with a problem. It overrides private methods of aiohttp 3.14, which the lock file pins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from aiohttp import StreamReader
from aiohttp.http_exceptions import HttpProcessingError, InvalidURLError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from ..problems import ProblemError, internal_error
from .connections import Closed, Connections
from .limits import HEAD_BYTES_MAX, HEADER_BYTES_MAX, HEADER_COUNT_MAX, TARGET_BYTES_MAX, Limits

DETAIL_CHARACTERS_MAX = 200
#: aiohttp has no exception of its own for it.
TOO_MANY_HEADERS = "Too many headers received"

#: The answer to a request that never became one, for a connection that ends with it.
Refuse = Callable[[ProblemError], StreamResponse]


class BodyTimeoutError(Exception):
    """The body of a request did not arrive in time."""


class Connection(RequestHandler):
    """A connection of an HTTP/1 client."""

    __slots__ = (
        "_connections",
        "_discarded_bytes",
        "_discarding",
        "_head_bytes",
        "_limits",
        "_lost",
        "_payload",
        "_read_timer",
        "_refuse",
        "_turn_away",
        "_wire",
        "_write_timer",
    )

    def __init__(
        self,
        server: Server,
        connections: Connections[Connection],
        refuse: Refuse,
        turn_away: Callable[[Connection], None],
        limits: Limits,
        **kwargs: Any,
    ) -> None:
        super().__init__(server, **kwargs)
        self._connections = connections
        self._refuse = refuse
        self._turn_away = turn_away
        self._limits = limits
        self._wire: asyncio.Transport  # `transport` is None as soon as the connection is being closed
        self._payload: StreamReader | None = None  # the body that is arriving
        self._head_bytes = 0  # of the head that is arriving
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._discarding = False
        self._discarded_bytes = 0
        self._lost: asyncio.Future[None] | None = None

    # --- lifecycle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the connection, or answer 503 when there are too many."""
        self._wire = wire = cast("asyncio.Transport", transport)
        wire.set_write_buffer_limits(high=0)  # `pause_writing` as soon as the client does not keep up
        if self._connections.admit(self):
            super().connection_made(transport)
        else:
            self._discarding = True
            self.transport = wire
            self._turn_away(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release the connection, whoever closed it."""
        self._stop_read_timer()
        self._stop_write_timer()
        self._connections.release(self)
        super().connection_lost(exc)
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def evict(self) -> None:
        """Close the idle connection, for the sake of a new one."""
        self.force_close()

    def _process_keepalive(self) -> None:
        if self._read_timer is not None:  # a request is arriving, and has its own time-out
            self._keepalive_handle = None
            return
        closed = self._force_close
        super()._process_keepalive()
        if self._force_close and not closed:
            self._connections.count_closed(Closed.IDLE_TIMEOUT)

    def turn_away(self, answer: bytes, linger_seconds: float) -> None:
        """Send an answer without having read anything, and close when the client had time to read it."""
        self._wire.write(answer)
        if self._wire.can_write_eof():
            self._wire.write_eof()
        self._loop.call_later(linger_seconds, self._wire.abort)

    def abort(self) -> None:
        """Close at once, whatever has not been sent."""
        self._wire.abort()

    # --- reading

    def data_received(self, data: bytes) -> None:
        """Parse what came, and keep the time of a request that is not complete."""
        if self._discarding:
            self._discard(len(data))
            return
        before, body = self._request_count, self._payload
        super().data_received(data)
        arrived = self._request_count - before
        if arrived:
            if arrived > 1 or self._payload is not None:
                self._stop_read_timer()  # it was that of an earlier request
            self._head_bytes = 0
            message, self._payload = self._messages[-1]
            self._connections.busy(self)
            if isinstance(message, _ErrInfo):  # nothing that follows can be parsed
                self._discarding = True
                if body is not None and not _is_complete(body):  # the parser leaves it without an end
                    body.set_exception(RequestPayloadError(message.message))
            self._discarding |= self._upgraded  # to a protocol that is not supported
        elif self._payload is None and (self._head_bytes or data.strip(b"\r\n")):
            self._head_bytes += len(data)
        if self._payload is not None and _is_complete(self._payload):
            self._payload = None
        if self._head_bytes > HEAD_BYTES_MAX:
            self._end_with(ProblemError("headers-too-large", "the head of the request is too large"))
        elif (self._payload is None and not self._head_bytes) or self._discarding:
            self._stop_read_timer()
        elif self._read_timer is None:
            self._connections.busy(self)
            self._start_read_timer()

    def _discard(self, count: int) -> None:
        self._discarded_bytes += count
        if self._discarded_bytes > self._limits.linger_bytes_max:
            self._wire.abort()

    def _start_read_timer(self) -> None:
        self._read_timer = self._loop.call_later(self._limits.read_timeout_seconds, self._end_reading)

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _end_reading(self) -> None:
        self._read_timer = None
        if self._reading_paused or self._buffer_paused:  # it is for us to read
            self._start_read_timer()
            return
        self._connections.count_closed(Closed.READ_TIMEOUT)
        if self._payload is None:
            self._end_with(ProblemError("request-timeout", "the head of the request did not arrive in time"))
        else:
            self._discarding = True
            self._payload.set_exception(BodyTimeoutError())

    def _end_with(self, problem: ProblemError) -> None:
        """Answer a problem after all earlier requests, and read no more."""
        self._stop_read_timer()
        self._discarding = True
        self._head_bytes = 0
        self._request_count += 1
        self._messages.append((_ErrInfo(problem.kind.status, problem, problem.detail), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- answering

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Return the problem for what the parser cannot read."""
        del request, status, message
        return self._refuse(problem_of(exc))

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send the answer, wait until the client has it, and end a connection whose input is of no use."""
        final = not request.content.is_eof() or (self._discarding and not self._messages)
        if final:
            self._stop_read_timer()
            self._discarding = True
            resp.force_close()
        resp, reset = await super().finish_response(request, resp, start_time)
        if reset:
            return resp, reset
        if self._paused:
            await self._drain_helper()
        if final:
            await self._linger()
        elif not self._messages and self._read_timer is None:
            self._connections.idle(self)
        return resp, reset

    async def _linger(self) -> None:
        """Discard input until the client closes, the time is up, or it is too much."""
        wire = self._wire
        if wire.is_closing():
            return
        self._lost = self._loop.create_future()
        if wire.can_write_eof():
            wire.write_eof()
        wire.resume_reading()
        await asyncio.wait([self._lost], timeout=self._limits.linger_timeout_seconds)

    # --- writing

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not read."""
        super().pause_writing()
        self._write_timer = self._loop.call_later(self._limits.write_timeout_seconds, self._end_writing)

    def resume_writing(self) -> None:
        """Go on: the client has read everything."""
        self._stop_write_timer()
        super().resume_writing()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _end_writing(self) -> None:
        self._write_timer = None
        self._connections.count_closed(Closed.WRITE_TIMEOUT)
        self._wire.abort()


def problem_of(error: BaseException | None) -> ProblemError:
    """Return the problem for an error of aiohttp's parser, or for one of ours."""
    if isinstance(error, ProblemError):
        return error
    if not isinstance(error, HttpProcessingError):
        return internal_error()
    if isinstance(error, LineTooLong) and error.args[1] == TARGET_BYTES_MAX:
        return ProblemError("target-too-long", f"a request target is at most {TARGET_BYTES_MAX} bytes")
    if isinstance(error, LineTooLong):
        return ProblemError("headers-too-large", f"a header field is at most {HEADER_BYTES_MAX} bytes")
    if error.message == TOO_MANY_HEADERS:
        return ProblemError("headers-too-large", f"a request has at most {HEADER_COUNT_MAX} header fields")
    if isinstance(error, InvalidURLError):
        return ProblemError("invalid-request", "the request target is not well-formed")
    reason = error.message.partition("\n")[0].rstrip(":")[:DETAIL_CHARACTERS_MAX]
    return ProblemError("invalid-request", reason.encode("ascii", "backslashreplace").decode())


def _is_complete(payload: StreamReader) -> bool:
    return payload.is_eof() or payload.exception() is not None
