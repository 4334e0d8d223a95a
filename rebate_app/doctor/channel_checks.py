"""Checks of payouts: the file REBATE_CHANNELS, its certificates, the payees' keys, the channels' states."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cryptography import x509

from rebate_app.payouts.channel_states import ChannelStates
from rebate_app.payouts.channels.certificates import read_certificates
from rebate_app.payouts.channels.channel_file import Channels, parse_channels
from rebate_app.payouts.payees.cipher import parse_payee_keys
from rebate_app.settings import Settings
from rebate_app.streams.kafka.connection import client_options
from rebate_app.wire.channel_states import NEVER_OPENED, OPEN, ChannelState
from rebate_app.wire.moments import MILLISECOND_US, format_moment

from .check_spec import CheckSpec, Context, failure, warning
from .named_files import exposed, named_files
from .result import CheckResult, fail, ok, warn

NAME = "channels"
STATES = "channel states"
KEYS = "payee keys"
SECRETS = ("secret_file", "private_key_file", "api_v3_key_file")
#: Roots are left out: a bundle holds old ones beside those that count.
CERTIFICATES = ("app_cert_file", "alipay_cert_file", "platform_key_file")
SOON = dt.timedelta(days=30)
REMEDY = "mend the file; workers keep what they read before, and one that starts ends with 78"
RENEW = "fetch a new one from the service, and touch the channels file"
OPEN_IT = "`rebate payouts open CHANNEL --reason …`, once the cause is gone"
CREATE = "start a worker, or see `rebate topics create`"
GIVE_KEY = "set REBATE_PAYEE_KEYS to id:base64 of 32 bytes"


def check_channels(path: Path, now: dt.datetime) -> list[CheckResult]:
    """Check the file as a worker reads it, its secrets, and when its certificates end."""
    try:
        channels = parse_channels(path.read_bytes(), path.parent)
    except OSError as error:
        return [fail(NAME, f"{path} cannot be read: {error.strerror}", REMEDY)]
    except ValueError as error:
        return [fail(NAME, f"{path}: {error}", REMEDY)]
    results = exposed(NAME, named_files(path, *SECRETS))
    results += certificate_results(named_files(path, *CERTIFICATES), now)
    return results or [ok(NAME, f"workers take {path}: {', '.join(sorted(channels)) or 'no channel'}")]


def certificate_results(files: Iterable[tuple[str, Path]], now: dt.datetime) -> Iterator[CheckResult]:
    """Yield a failure for each certificate that has ended, a warning for one that ends SOON."""
    for member, file in sorted(set(files)):
        content = file.read_bytes()
        if b"-----BEGIN CERTIFICATE-----" not in content:
            continue  # a bare public key, which does not end
        first: x509.Certificate = read_certificates(content)[0]
        end = first.not_valid_after_utc
        if end <= now:
            yield fail(NAME, f"the certificate {file} ({member}) ended on {end:%Y-%m-%d}", RENEW)
        elif end - now <= SOON:
            yield warn(NAME, f"the certificate {file} ({member}) ends on {end:%Y-%m-%d}", RENEW)


def check_payee_keys(settings: Settings) -> CheckResult:
    """Check that payees can be sealed."""
    try:
        keys = parse_payee_keys(settings.payee_keys.get_secret_value())
    except ValueError as error:
        return fail(KEYS, f"REBATE_PAYEE_KEYS: {error}", GIVE_KEY)
    return ok(KEYS, f"payees are sealed with {keys.first}, one of {len(keys.keys)} keys")


def state_results(names: Iterable[str], states: Mapping[str, ChannelState]) -> list[CheckResult]:
    """Return one result for each channel: a warning for one through which nothing is paid."""
    return [_state_result(name, states.get(name, NEVER_OPENED)) for name in sorted(names)]


def _state_result(name: str, state: ChannelState) -> CheckResult:
    if state.state == OPEN:
        return ok(STATES, f"{name} is open")
    since = f" since {format_moment(state.at * MILLISECOND_US)}" if state.at else ""
    by = f" by {state.by}" if state.by else ""
    return warn(STATES, f"{name} is {state.state}{since}{by}: {state.why or 'no reason given'}", OPEN_IT)


async def _channels(context: Context) -> list[CheckResult]:
    path = context.settings.channels
    if path is None:
        return [ok(NAME, "REBATE_CHANNELS is not set: nothing is paid from here")]
    return check_channels(path, dt.datetime.now(dt.UTC))


async def _keys(context: Context) -> list[CheckResult]:
    if context.settings.channels is None:
        return [ok(KEYS, "no payees are kept")]
    return [check_payee_keys(context.settings)]


async def _states(context: Context) -> list[CheckResult]:
    """Read the topic, which needs the right to do so; a file that cannot be used is said elsewhere."""
    path, topic = context.settings.channels, context.topics.channels
    if path is None:
        return []
    try:
        channels: Channels = parse_channels(path.read_bytes(), path.parent)
    except (OSError, ValueError):
        return []
    if topic not in context.found:
        return [warn(STATES, f"there is no topic {topic}", CREATE)]
    states = ChannelStates(topic)
    await states.read_once(client_options(context.settings))
    return state_results(channels, states.entries)


CHECKS = (
    CheckSpec(
        NAME,
        "the file of `REBATE_CHANNELS`: channels, and the credentials that it names",
        "nothing",
        (
            failure(
                "workers would refuse the file: it or a credential cannot be read, or a name occurs twice",
                REMEDY,
            ),
            failure("a certificate has ended", RENEW),
            warning("a certificate ends within 30 days", RENEW),
            warning("other users can use a file with a secret", "`chmod 600`"),
        ),
        _channels,
    ),
    CheckSpec(
        KEYS,
        "the keys of `REBATE_PAYEE_KEYS`, where there are channels",
        "nothing",
        (failure("no payee can be sealed: a key cannot be used", GIVE_KEY),),
        _keys,
    ),
    CheckSpec(
        STATES,
        "the topic of channels' states: whether it can be read, and what is paused or closed",
        "topic list",
        (
            warning("the topic is not there", CREATE),
            warning("a channel is paused, closed, or was never opened", OPEN_IT),
        ),
        _states,
    ),
)
