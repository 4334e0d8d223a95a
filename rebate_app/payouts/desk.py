"""The channels of this worker: what the file says, which may send now, and at what rate.

Implements the executor's port ChannelDesk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from aiokafka.errors import KafkaError

from rebate_app.metrics.registry import Sample
from rebate_app.settings import Settings
from rebate_app.watched_file import WatchedFile
from rebate_app.wire.channel_states import CLOSED, OPEN, PAUSED, ChannelState
from rebate_app.wire.moments import MILLISECOND_US

from .channel_states import ChannelStates, now_ms
from .channels.channel_file import Channels, ChannelSpec, channels_parser
from .channels.port import PaymentChannel

FILE: Final = "channels"
#: Calls under way when a channel leaves the file have ended by then.
CLOSE_AFTER_SECONDS: Final = 60.0
WRITER: Final = "rebate"
WRITE_AGAIN_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 1.0

log = logging.getLogger(__name__)

WriteState = Callable[[str, ChannelState], Awaitable[None]]


class PayoutDesk:
    """One worker's channels. `share()`: the part of all partitions that this worker owns."""

    def __init__(
        self, settings: Settings, states: ChannelStates, write: WriteState, share: Callable[[], float]
    ) -> None:
        self.states = states
        self._write = write
        self._share = share
        self._file: WatchedFile[Channels] | None = None
        self._used: dict[str, ChannelSpec] = {}
        self._next: dict[str, float] = {}  # when the next call is admitted, by channel
        self._under_way: dict[str, int] = {}  # calls that may be on their way, by channel
        self._retired: list[tuple[float, PaymentChannel]] = []
        self._unwritten: dict[str, ChannelState] = {}  # of our own accord
        self._writing: dict[str, asyncio.Lock] = {}
        if settings.channels is not None:
            parse = channels_parser(settings.channels.parent)
            self._file = WatchedFile(FILE, settings.channels, parse)
            self._file.load()

    @property
    def channels(self) -> Mapping[str, ChannelSpec]:
        """Return the channels of the file; one that did not change keeps its connections."""
        file = {} if self._file is None else self._file.value
        for name in [
            name for name in self._used if name not in file or file[name].digest != self._used[name].digest
        ]:
            self._retired.append((time.monotonic(), self._used.pop(name).channel))
        for name, spec in file.items():
            self._used.setdefault(name, spec)
        return self._used

    async def watch(self) -> None:
        """Follow the file until cancelled, and close what left it."""
        file = self._file
        if file is None:
            return
        following = asyncio.create_task(file.watch())
        write_at = time.monotonic() + WRITE_AGAIN_SECONDS
        try:
            while True:
                await asyncio.sleep(WATCH_SECONDS)
                if time.monotonic() >= write_at:
                    await self.write_again()
                    write_at = time.monotonic() + WRITE_AGAIN_SECONDS
                if following.done():
                    following.result()
                await self._close_retired(CLOSE_AFTER_SECONDS)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            self._retired += [(0.0, spec.channel) for spec in self._used.values()]
            await self._close_retired(0.0)

    async def _close_retired(self, after_seconds: float) -> None:
        ready = [each for each in self._retired if time.monotonic() - each[0] >= after_seconds]
        self._retired = [each for each in self._retired if each not in ready]
        for _, channel in ready:
            await channel.close()

    def gauges(self) -> Iterator[Sample]:
        """Yield whether the file as it is now is in force."""
        if self._file is not None:
            yield from self._file.gauges()

    # -- ChannelDesk

    def spec(self, channel: str) -> ChannelSpec | None:
        """Return what the file has about a channel."""
        return self.channels.get(channel)

    def is_open(self, channel: str) -> bool:
        """Whether payouts may be sent through it."""
        return self.states.is_open(channel)

    def begin_call(self, channel: str) -> None:
        """Note that a payout is on its way to the service."""
        self._under_way[channel] = self._under_way.get(channel, 0) + 1

    def end_call(self, channel: str) -> None:
        """Note that its call has ended."""
        self._under_way[channel] -= 1

    def sends_nothing(self, channel: str) -> bool:
        """Whether no payout is on its way and none will be: what a worker confirms of a closed channel."""
        return not self.is_open(channel) and not self._under_way.get(channel)

    async def pause(self, channel: str, reason: str, known_since_us: int) -> None:
        """Stop sending, unless somebody has opened the channel after that moment, and so knows the reason."""
        state = self.states.state(channel)
        if state.state == OPEN and state.at * MILLISECOND_US <= known_since_us:
            await self._set(channel, ChannelState(PAUSED, WRITER, reason, now_ms()))

    async def close_contradicted(self, channel: str, at_us: int) -> None:
        """Close a channel whose service contradicted itself after it was last opened."""
        state = self.states.state(channel)
        if state.state != CLOSED and state.at * MILLISECOND_US < at_us:
            await self._set(channel, ChannelState(CLOSED, WRITER, "contradiction", now_ms()))

    async def close_all(self, why: str) -> None:
        """Close every channel that somebody has opened or paused. KafkaError, OSError: not all are closed."""
        for channel in dict.fromkeys((*self.states.entries, *self._writing)):
            async with self._writer(channel):
                if self.states.state(channel).state != CLOSED:
                    closed = ChannelState(CLOSED, WRITER, why, now_ms())
                    await self._write(channel, closed)
                    self.states.entries[channel] = closed

    async def _set(self, channel: str, state: ChannelState) -> None:
        """Write a state of our own accord; here it holds at once, whether or not it can be written now."""
        log.warning("channel %s is %s: %s", channel, state.state, state.why)
        self.states.entries[channel] = state
        self._unwritten[channel] = state
        await self._write_own(channel)

    async def _write_own(self, channel: str) -> None:
        """Write a state of our own, unless another one has taken its place."""
        async with self._writer(channel):
            state = self._unwritten.get(channel)
            if state is not None and self.states.state(channel) == state:
                try:
                    await self._write(channel, state)
                except (KafkaError, OSError, TimeoutError) as error:
                    log.warning("that channel %s is %s could not be written: %r", channel, state.state, error)
                    return
            if self._unwritten.get(channel) is state:
                self._unwritten.pop(channel, None)

    def _writer(self, channel: str) -> asyncio.Lock:
        return self._writing.setdefault(channel, asyncio.Lock())

    async def set_by_person(
        self, channel: str, state: ChannelState, write: Callable[[], Awaitable[None]]
    ) -> None:
        """Let `write` put a person's decision on the topic, after what this worker is writing itself.

        The person has seen that, so the decision is the later one. Of what this worker finds while it is
        written the person knows nothing: that holds, and is written next, unless the person closes the
        channel. What `write` raises leaves all as it was.
        """
        async with self._writer(channel):
            seen = self._unwritten.get(channel)
            await write()
            since = self._unwritten.get(channel)
            if since is not None and since is not seen and state.state != CLOSED:
                self.states.entries[channel] = since  # the topic's reader may have come to the decision
            else:
                self._unwritten.pop(channel, None)
                self.states.entries[channel] = state

    async def write_again(self) -> None:
        """Write what could not be written, if it still holds."""
        for channel in list(self._unwritten):
            await self._write_own(channel)

    async def admit(self, spec: ChannelSpec) -> None:
        """Wait for the channel's rate, of which this worker has the share of its partitions."""
        rate = max(spec.per_second * self._share(), 1e-6)
        now = time.monotonic()
        at = max(now, self._next.get(spec.name, now))
        self._next[spec.name] = at + 1 / rate
        await asyncio.sleep(at - now)
