"""The file REBATE_CHANNELS: one `[[channel]]` per payment channel (docs/payouts.md#channels-file).

Parsing reads the credentials that the file names, relative to its folder, and reports every problem of the
whole file at once. No problem repeats a secret.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from rebate_app.http_urls import fault_of, is_own_machine
from rebate_app.wire.rules.section import Section

from . import alipay, http_channel, manual, wechat
from .alipay import AlipayChannel, AlipayMerchant, AlipayTransfer
from .certificates import (
    read_certificates,
    read_private_key,
    read_public_key,
    read_rsa_roots,
    require_chain,
    rsa_public_key,
    serial_md5,
)
from .code_list import CODE_FORM, CodeList, is_code_pattern
from .http_channel import HttpChannel
from .manual import ManualChannel
from .port import PaymentChannel
from .wechat import WechatChannel, WechatMerchant, WechatTransfer

API_KEY_BYTES: Final = 32
CREDENTIAL_BYTES_MAX: Final = 256 * 1_024
DAY_SECONDS: Final = 86_400
PER_SECOND: Final = 10.0
PER_SECOND_MAX: Final = 1_000.0
TIMEOUT_SECONDS: Final = 10.0
TIMEOUT_SECONDS_MAX: Final = 60.0
NOT_FOUND_AFTER_SECONDS: Final = 420
REMEMBERS_SECONDS: Final = 7 * DAY_SECONDS
WECHAT_REMEMBERS_SECONDS: Final = 29 * DAY_SECONDS
REMEMBERS_SECONDS_MAX: Final = 366 * DAY_SECONDS
TEXT_CHARACTERS_MAX: Final = 128
SCENE_INFO: Final = (("岗位类型", "推广员"), ("报酬说明", "推广佣金"))
SCENE_COMMISSION: Final = "1005"
TITLE: Final = "推广佣金"

_match_name = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII).fullmatch
T = TypeVar("T")


class ChannelSpec(Struct, frozen=True):
    """One channel of the file. `digest`: of all that it says and of its credentials.

    `per_second`: payouts a second over all workers. `not_found_after_seconds`: before, "not found" proves
    nothing; `remembers_seconds`: after, neither.
    """

    name: str
    kind: str
    digest: str
    per_second: float
    timeout_seconds: float
    not_found_after_seconds: float
    remembers_seconds: float
    channel: PaymentChannel


#: By name.
Channels = Mapping[str, ChannelSpec]


class ChannelSection:
    """One `[[channel]]`, read member by member; problems are noted and reading goes on."""

    def __init__(self, section: Section, folder: Path) -> None:
        self.section = section
        self._folder = folder
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """Return the digest of the credentials that were read."""
        return self._digest.hexdigest()

    def text(self, member: str, default: str | None = None, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
        """Return a printable text; needed where there is no default."""
        value = self.section.take(member, needed=default is None)
        if value is None:
            return default or ""
        if isinstance(value, str) and 0 < len(value) <= characters_max and value.isprintable():
            return value
        self.section.problem(member, f"has to be printable text of 1-{characters_max} characters")
        return default or ""

    def number(self, member: str, default: float, most: float) -> float:
        """Return a number above 0."""
        value = self.section.take(member)
        if value is None:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most:
            return float(value)
        self.section.problem(member, f"has to be a number above 0, at most {most:g}")
        return default

    def url(self, member: str, default: str | None = None) -> str:
        """Return an https URL; http is for services on one's own machine, or where `allow_http` says so."""
        value = self.text(member, default, characters_max=2_048)
        allowed = self.section.take("allow_http")
        if allowed is not None and not isinstance(allowed, bool):
            self.section.problem("allow_http", "has to be true or false")
        if value and (fault := fault_of(value, query=False)):
            self.section.problem(member, fault)
        elif value.startswith("http:") and not allowed and not is_own_machine(value):
            self.section.problem(
                member, "has to be https: names and accounts of payees go there (allow_http = true)"
            )
        return value.rstrip("/")

    def file(self, member: str, read: Callable[[bytes], T]) -> T | None:
        """Return what a file holds, None after a problem."""
        value = self.section.take(member, needed=True)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            self.section.problem(member, "has to be the path of a file")
            return None
        try:
            with (self._folder / value).open("rb") as file:
                content = file.read(CREDENTIAL_BYTES_MAX)
            self._digest.update(hashlib.sha256(content).digest())
            return read(content)
        except OSError as error:
            self.section.problem(member, f"{value} cannot be read: {error.strerror or type(error).__name__}")
        except ValueError as error:
            self.section.problem(member, f"{value} {error}")
        return None

    def codes(self, failed: tuple[str, ...], payer: tuple[str, ...]) -> CodeList:
        """Return the lists of final codes."""
        return CodeList(self._patterns("failed_codes", failed), self._patterns("payer_codes", payer))

    def _patterns(self, member: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.section.take(member)
        if value is None:
            return default
        if isinstance(value, list) and all(isinstance(each, str) and is_code_pattern(each) for each in value):
            return tuple(value)
        self.section.problem(member, f"has to be a list of codes, each {CODE_FORM}")
        return default

    def scene_reports(self, default: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Return the pairs of info_type and info_content."""
        if not self.section.has("transfer_scene_report_infos"):
            return default
        pairs = []
        for item in self.section.sections("transfer_scene_report_infos"):
            each = ChannelSection(item, self._folder)
            pairs.append((each.text("info_type", None, 15), each.text("info_content", None, 32)))
            item.refuse_unknown()
        return tuple(pairs)


def channels_parser(folder: Path) -> Callable[[bytes], Channels]:
    """Return what parses the file; relative paths in it begin at `folder`."""
    return lambda content: parse_channels(content, folder)


def parse_channels(content: bytes, folder: Path) -> Channels:
    """Return the channels by name; ValueError naming every problem, and no secret."""
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"it is not TOML: {error}") from None
    problems: list[str] = []
    top = Section("", "", document, problems)
    specs: dict[str, ChannelSpec] = {}
    for section in top.sections("channel"):
        spec = _spec_of(section, folder)
        if spec is None:
            continue
        if spec.name in specs:
            section.problem("name", f"{spec.name} occurs twice")
        specs[spec.name] = spec
    top.refuse_unknown()
    if problems:
        raise ValueError("; ".join(problems))
    return specs


def _spec_of(section: Section, folder: Path) -> ChannelSpec | None:
    """Return a channel, None after a problem of its own."""
    before = len(section.problems)
    read = ChannelSection(section, folder)
    name = read.text("name")
    if name and not _match_name(name):
        section.problem("name", "has to be 1-64 of A-Za-z0-9._-")
    kind = section.one_of("kind", tuple(KINDS), needed=True)
    timeout = read.number("timeout_s", TIMEOUT_SECONDS, TIMEOUT_SECONDS_MAX)
    per_second = read.number("per_second", PER_SECOND, PER_SECOND_MAX)
    not_found_after = read.number("not_found_after_s", NOT_FOUND_AFTER_SECONDS, DAY_SECONDS)
    remembers = WECHAT_REMEMBERS_SECONDS if kind == wechat.KIND else REMEMBERS_SECONDS
    remembers_seconds = read.number("remembers_s", remembers, REMEMBERS_SECONDS_MAX)
    channel = KINDS.get(kind, _manual)(read, timeout)
    section.refuse_unknown()
    if len(section.problems) > before or channel is None:
        return None
    digest = hashlib.sha256(repr((section.values, read.digest)).encode()).hexdigest()
    return ChannelSpec(name, kind, digest, per_second, timeout, not_found_after, remembers_seconds, channel)


def _manual(read: ChannelSection, timeout_seconds: float) -> PaymentChannel | None:
    del timeout_seconds
    return ManualChannel(read.text("name"))


def _http(read: ChannelSection, timeout_seconds: float) -> PaymentChannel | None:
    url, secret = read.url("url"), read.file("secret_file", _secret)
    return HttpChannel(url, secret, timeout_seconds) if url and secret else None


def _alipay(read: ChannelSection, timeout_seconds: float) -> PaymentChannel | None:
    url = read.url("url", alipay.GATEWAY)
    app_id = read.text("app_id")
    transfer = AlipayTransfer(
        title=read.text("order_title", TITLE),
        identity_type=read.section.one_of("identity_type", alipay.IDENTITY_TYPES),
        scene_name=read.text("transfer_scene_name", ""),
        scene_reports=read.scene_reports(()),
    )
    codes = read.codes(alipay.FAILED_CODES, alipay.PAYER_CODES)
    private_key = read.file("private_key_file", read_private_key)
    app = read.file("app_cert_file", read_certificates)
    roots = read.file("alipay_root_cert_file", read_rsa_roots)
    chain = read.file("alipay_cert_file", read_certificates)
    if private_key is None or app is None or roots is None or chain is None:
        return None
    try:
        alipay_key = rsa_public_key(chain[0])
        require_chain(chain, roots)
    except ValueError as error:
        read.section.problem("alipay_cert_file", str(error))
        return None
    if app[0].public_key() != private_key.public_key():
        read.section.problem("app_cert_file", "holds a certificate of another key than private_key_file")
    root_sn = "_".join(map(serial_md5, roots))
    merchant = AlipayMerchant(app_id, private_key, serial_md5(app[0]), root_sn, alipay_key)
    return AlipayChannel(url, merchant, transfer, codes, timeout_seconds)


def _wechat(read: ChannelSection, timeout_seconds: float) -> PaymentChannel | None:
    url = read.url("url", wechat.GATEWAY)
    mchid, appid = read.text("mchid"), read.text("appid")
    transfer = WechatTransfer(
        scene_id=read.text("transfer_scene_id", SCENE_COMMISSION),
        remark=read.text("transfer_remark", TITLE, wechat.REMARK_CHARACTERS_MAX),
        scene_reports=read.scene_reports(SCENE_INFO),
        user_perception=read.text("user_recv_perception", ""),
        notify_url=read.url("notify_url") if read.section.has("notify_url") else "",
    )
    codes = read.codes(wechat.FAILED_CODES, wechat.PAYER_CODES)
    serial_no, platform_serial = read.text("serial_no"), read.text("platform_serial")
    private_key = read.file("private_key_file", read_private_key)
    platform_key = read.file("platform_key_file", read_public_key)
    api_key = read.file("api_v3_key_file", _api_key)
    if private_key is None or platform_key is None or api_key is None:
        return None
    merchant = WechatMerchant(mchid, appid, private_key, serial_no, platform_key, platform_serial, api_key)
    return WechatChannel(url, merchant, transfer, codes, timeout_seconds)


def _secret(content: bytes) -> bytes:
    secret = content.strip()
    if not secret:
        raise ValueError("has to hold a secret")
    return secret


def _api_key(content: bytes) -> bytes:
    key = content.strip()
    if len(key) != API_KEY_BYTES:
        raise ValueError(f"has to hold the APIv3 key of {API_KEY_BYTES} bytes")
    return key


#: The kinds of channels, and what reads one from its table.
KINDS: Final[Mapping[str, Callable[[ChannelSection, float], PaymentChannel | None]]] = {
    http_channel.KIND: _http,
    alipay.KIND: _alipay,
    wechat.KIND: _wechat,
    manual.KIND: _manual,
}
