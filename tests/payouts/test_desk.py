"""Which channels may send, and at what rate; what a worker confirms of a closed one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from examples.simulators.payouts.__main__ import channel_entry
from rebate_app.payouts.channel_states import FRESH_SECONDS, ChannelStates
from rebate_app.payouts.desk import PayoutDesk
from rebate_app.settings import ConfigurationError, Settings, load_settings
from rebate_app.wire.channel_states import ChannelState, encode_state

pytestmark = pytest.mark.asyncio


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def states(clock: Clock, *records: tuple[bytes | None, bytes | None], whole: bool = True) -> ChannelStates:
    """Return states that were read from these records."""
    found = ChannelStates("rebate-channels", clock=clock)
    for offset, (key, value) in enumerate(records):
        found.take(SimpleNamespace(offset=offset, key=key, value=value, topic="t", partition=0))
    if whole:
        found._whole_at = clock.now
    return found


def record(state: str, at: int = 1) -> tuple[bytes, bytes]:
    """Return a record of channel `http`."""
    return encode_state("http", ChannelState(state, "key:ops", "why", at))  # type: ignore[arg-type]


class TestClosingAll:
    """After a disaster."""

    async def test_what_is_open_or_paused(self, tmp_path: Path) -> None:
        """Closed ones stay as they are; a failure leaves what is left as it is."""
        found = states(Clock(), record("open"))
        for name in ("paused", "closed"):
            key, value = encode_state(name, ChannelState(name, "key:ops", "why", 1))
            found.take(SimpleNamespace(offset=9, key=key, value=value, topic="t", partition=0))
        written: list[str] = []

        async def write(channel: str, state: ChannelState) -> None:
            assert (state.state, state.by, state.why) == ("closed", "rebate", "because")
            if channel == "paused" and written == ["http"]:
                written.append("failed")
                raise TimeoutError
            written.append(channel)

        desk = PayoutDesk(load_settings({"REBATE_DATADIR": str(tmp_path)}), found, write, lambda: 1.0)
        with pytest.raises(TimeoutError):
            await desk.close_all("because")
        assert (found.state("http").state, found.state("paused").state) == ("closed", "paused")
        await desk.close_all("because")
        await desk.close_all("because")
        assert written == ["http", "failed", "paused"]


class TestStates:
    """What the topic says, and what it does not say."""

    async def test_open_only_if_it_says_so(self) -> None:
        """A channel that is not named is closed; the last record holds; a tombstone is none."""
        assert not states(Clock()).is_open("http")
        assert states(Clock(), record("open")).is_open("http")
        assert not states(Clock(), record("open"), record("closed")).is_open("http")
        assert not states(Clock(), record("open"), (b"http", None)).is_open("http")

    @pytest.mark.parametrize("value", [b"", b"{}", b'{"state":"open","by":"","why":"","at":1,"schema":"x"}'])
    async def test_what_cannot_be_read_closes(self, value: bytes) -> None:
        """Rather than send too much."""
        found = states(Clock(), record("open"), (b"http", value), (None, b"x"))
        assert found.state("http").state == "closed"

    async def test_a_worker_that_lags_treats_all_as_paused(self) -> None:
        """Attack 16: it may have missed a closing."""
        clock = Clock()
        found = states(clock, record("open"))
        clock.now += FRESH_SECONDS - 0.1
        assert (found.is_open("http"), found.effective("http")) == (True, "open")
        clock.now += 0.2
        assert (found.is_open("http"), found.effective("http")) == (False, "paused")
        assert not states(Clock(), record("open"), whole=False).is_open("http")


class Written:
    """Takes what the desk writes."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.fails = False

    async def __call__(self, channel: str, state: ChannelState) -> None:
        """Write a state."""
        if self.fails:
            raise OSError("away")
        self.states.append((channel, state.state))


def settings_of(file: Path) -> Settings:
    """Return the settings of a worker that pays."""
    return load_settings(
        {"REBATE_CHANNELS": str(file), "REBATE_PAYEE_KEYS": "a:b", "REBATE_PAYEE_ID_KEY": "i"}
    )


def desk(keys: Path, found: ChannelStates, written: Written, share: float = 1.0) -> PayoutDesk:
    """Return a desk with one channel."""
    file = keys / "desk.toml"
    file.write_text(channel_entry("http", "http://127.0.0.1:1", keys) + "per_second = 50\n")
    return PayoutDesk(settings_of(file), found, written, lambda: share)


class TestDesk:
    """One worker's channels."""

    async def test_pauses_once_and_not_what_was_opened_since(self, keys: Path) -> None:
        """Attack 12: an old answer does not pause what somebody has opened meanwhile."""
        written = Written()
        made = desk(keys, states(Clock(), record("open", at=2_000)), written)
        await made.pause("http", "payer", known_since_us=1_999_999)
        assert written.states == []
        await made.pause("http", "payer", known_since_us=2_000_000)
        await made.pause("http", "payer", known_since_us=2_000_001)
        assert written.states == [("http", "paused")]
        assert not made.is_open("http")

    async def test_a_contradiction_closes(self, keys: Path) -> None:
        """Unless somebody has opened it since."""
        written = Written()
        made = desk(keys, states(Clock(), record("open", at=2_000)), written)
        await made.close_contradicted("http", 1_000_000)
        await made.close_contradicted("http", 3_000_000)
        assert written.states == [("http", "closed")]
        await made.close_contradicted("http", 4_000_000)
        assert len(written.states) == 1

    async def test_what_cannot_be_written_holds_here(self, keys: Path) -> None:
        """And is written later, unless somebody has set the channel since."""
        written = Written()
        written.fails = True
        found = states(Clock(), record("open", at=1))
        made = desk(keys, found, written)
        await made.pause("http", "payer", known_since_us=2_000_000)
        assert not made.is_open("http")
        await made.write_again()
        assert written.states == []
        written.fails = False
        await made.write_again()
        await made.write_again()
        assert written.states == [("http", "paused")]
        written.fails = True
        found.entries["http"] = ChannelState("open", "key:ops", "", 3)
        await made.pause("http", "lies", known_since_us=4_000_000)
        found.entries["http"] = ChannelState("open", "key:ops", "", 5)
        written.fails = False
        await made.write_again()
        assert written.states == [("http", "paused")]

    async def test_what_a_person_opens_is_paused_again(self, keys: Path) -> None:
        """However soon after our own word the person and the next lie came."""
        written = Written()
        found = states(Clock(), record("open", at=2_000))
        made = desk(keys, found, written)
        await made.close_contradicted("http", 3_000_000)
        found.entries["http"] = ChannelState("open", "key:ops", "compared", 4_000)
        await made.pause("http", "lies", known_since_us=4_000_001)
        assert written.states == [("http", "closed"), ("http", "paused")]
        assert not made.is_open("http")

    async def test_what_a_person_decides_comes_after_our_own_word(self, keys: Path) -> None:
        """They saw the channel paused here before that was on the topic: their opening is the last word."""
        written, may_write = Written(), asyncio.Event()
        found = states(Clock(), record("open", at=2_000))
        made = desk(keys, found, written)

        async def slowly(channel: str, state: ChannelState) -> None:
            await may_write.wait()
            await written(channel, state)

        made._write = slowly
        pausing = asyncio.create_task(made.pause("http", "lies", known_since_us=2_000_001))
        while made.is_open("http"):  # noqa: ASYNC110 - the desk has no events
            await asyncio.sleep(0)
        opened = ChannelState("open", "key:ops", "compared", 4_000)
        opening = asyncio.create_task(
            made.set_by_person("http", opened, lambda: written("http", opened)),
        )
        for _ in range(10):
            await asyncio.sleep(0)
        assert written.states == []
        may_write.set()
        await asyncio.gather(pausing, opening)
        assert written.states == [("http", "paused"), ("http", "open")]
        await made.write_again()
        assert (written.states[2:], made.is_open("http")) == ([], True)

    @pytest.mark.parametrize(
        ("decision", "last"), [("open", "paused"), ("paused", "paused"), ("closed", "closed")]
    )
    async def test_what_is_found_while_a_decision_is_written(
        self, keys: Path, decision: str, last: str
    ) -> None:
        """The person knows nothing of it: only a closing outweighs it, and nothing is sent."""
        written, may_write = Written(), asyncio.Event()
        found = states(Clock(), record("open", at=2_000))
        made = desk(keys, found, written)
        decided = ChannelState(decision, "key:ops", "again", 4_000)  # type: ignore[arg-type] # one of three

        async def slowly() -> None:
            await may_write.wait()
            await written("http", decided)
            found.entries["http"] = decided  # the topic's reader is quick

        deciding = asyncio.create_task(made.set_by_person("http", decided, slowly))
        await asyncio.sleep(0)
        pausing = asyncio.create_task(made.pause("http", "lies", known_since_us=2_000_001))
        await asyncio.sleep(0)
        may_write.set()
        await asyncio.gather(deciding, pausing)
        assert (written.states[0], written.states[-1]) == (("http", decision), ("http", last))
        assert (made.is_open("http"), found.state("http").state) == (False, last)

    async def test_all_are_closed_after_an_opening_on_its_way(self, keys: Path) -> None:
        """Also a channel that was never open before."""
        written, may_write = Written(), asyncio.Event()
        made = desk(keys, states(Clock()), written)
        opened = ChannelState("open", "key:ops", "", 4_000)

        async def slowly() -> None:
            await may_write.wait()
            await written("http", opened)

        opening = asyncio.create_task(made.set_by_person("http", opened, slowly))
        await asyncio.sleep(0)
        closing = asyncio.create_task(made.close_all("nobody remembers"))
        await asyncio.sleep(0)
        may_write.set()
        await asyncio.gather(opening, closing)
        assert (written.states[-1], made.is_open("http")) == (("http", "closed"), False)

    async def test_a_decision_that_is_not_written_changes_nothing(self, keys: Path) -> None:
        """What this worker said before is still to be written, and holds."""
        written = Written()
        written.fails = True
        made = desk(keys, states(Clock(), record("open", at=2_000)), written)
        await made.pause("http", "lies", known_since_us=2_000_001)
        opened = ChannelState("open", "key:ops", "compared", 4_000)
        with pytest.raises(OSError, match="away"):
            await made.set_by_person("http", opened, lambda: written("http", opened))
        written.fails = False
        await made.write_again()
        assert (written.states, made.is_open("http")) == ([("http", "paused")], False)

    async def test_a_closed_channel_is_confirmed_when_no_call_is_on_its_way(self, keys: Path) -> None:
        """Attack 16."""
        found = states(Clock(), record("open"))
        made = desk(keys, found, Written())
        made.begin_call("http")
        assert not made.sends_nothing("http")
        found.entries["http"] = ChannelState("closed", "", "", 2)
        assert not made.sends_nothing("http")
        made.end_call("http")
        assert made.sends_nothing("http")

    async def test_the_rate_is_shared_out(self, keys: Path) -> None:
        """A worker with half of the partitions sends half as often."""
        made = desk(keys, states(Clock()), Written(), share=0.5)
        spec = made.spec("http")
        assert spec is not None
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            await made.admit(spec)
        assert asyncio.get_running_loop().time() - began >= 2 / 25 - 0.01

    async def test_a_changed_file_changes_channels(self, keys: Path) -> None:
        """One that did not change keeps its connections; one that left is closed."""
        made = desk(keys, states(Clock()), Written())
        watching = asyncio.create_task(made.watch())
        before = made.channels["http"]
        assert made.channels["http"] is before
        file = keys / "desk.toml"
        file.write_text(file.read_text() + '[[channel]]\nname = "bank"\nkind = "manual"\n')
        os.utime(file, (1, 1))
        assert made._file is not None
        await made._file.refresh()
        assert made.channels["http"] is before
        file.write_text('[[channel]]\nname = "bank"\nkind = "manual"\n')
        os.utime(file, (2, 2))
        await made._file.refresh()
        assert list(made.channels) == ["bank"]
        assert len(list(made.gauges())) == 1
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert made._retired == []

    async def test_no_file_no_channels(self) -> None:
        """Nothing is paid."""
        made = PayoutDesk(load_settings({}), states(Clock()), Written(), lambda: 1.0)
        await made.watch()
        assert (made.channels, list(made.gauges())) == ({}, [])

    async def test_a_bad_file_at_the_start(self, keys: Path) -> None:
        """Is exit 78."""
        file = keys / "bad.toml"
        file.write_text("x = 1")
        with pytest.raises(ConfigurationError, match="unknown key"):
            PayoutDesk(settings_of(file), states(Clock()), Written(), lambda: 1.0)
