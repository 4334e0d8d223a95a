"""What is kept of what a service gives beside an outcome, and in which form."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.payouts.channels.confirm_url import WALLET_SCHEMES, bounded_url
from rebate_app.payouts.channels.port import NEEDS_USER, PAID, ChannelAnswer, answer_of, bounded_package
from rebate_app.payouts.meter import PayoutMeter


class TestReferences:
    """1-64 visible ASCII characters."""

    @pytest.mark.parametrize("ref", ["SIM/0001", "2026:12", "!", "~" * 64, "a b".replace(" ", "+"), "<x>"])
    def test_kept(self, ref: str) -> None:
        """As the service gave it."""
        assert answer_of(PAID, None, ref) == ChannelAnswer(PAID, None, ref)

    @pytest.mark.parametrize("ref", ["a b", " ", "x" * 65, "a\n", "\x7f", "号", 5, ["a"], True])
    def test_left_out(self, ref: object) -> None:
        """And named."""
        assert answer_of(PAID, None, ref) == ChannelAnswer(PAID, dropped=("channel_ref",))

    @pytest.mark.parametrize("ref", [None, ""])
    def test_not_given(self, ref: object) -> None:
        """Nothing was left out."""
        assert answer_of(PAID, None, ref) == ChannelAnswer(PAID)


KEPT = {
    "https://pay.example/confirm/1": "https://pay.example/confirm/1",
    "https://pay.example/c?a=%2F&b=1#part/2?x": "https://pay.example/c?a=%2F&b=1#part/2?x",
    "HTTPS://Pay.Example:8443/": "HTTPS://Pay.Example:8443/",
    "http://[::1]:80/x": "http://[::1]:80/x",
    "weixin://wxpay/bizpayurl?pr=a1": "weixin://wxpay/bizpayurl?pr=a1",
    "alipays://platformapi/startapp?appId=2021&url=https%3A%2F%2Fa": (
        "alipays://platformapi/startapp?appId=2021&url=https%3A%2F%2Fa"
    ),
    "weixin://确认/x": "weixin://%E7%A1%AE%E8%AE%A4/x",
    "https://pay.example/确认?名=张 三#片": (
        "https://pay.example/%E7%A1%AE%E8%AE%A4?%E5%90%8D=%E5%BC%A0%20%E4%B8%89#%E7%89%87"
    ),
    "https://支付.example:8443/x": "https://xn--bnq875c.example:8443/x",
    "https://pay.example/100%/%zz/%41": "https://pay.example/100%25/%25zz/%41",
    'https://pay.example/"<\\>^`{|}': "https://pay.example/%22%3C%5C%3E%5E%60%7B%7C%7D",
    "  https://pay.example/x ": "https://pay.example/x",
}
REFUSED = (
    "javascript:alert(1)",
    "javascript://pay.example/%0aalert(1)",
    "JavaScript://x",
    "data:text/html,x",
    "data://x/y",
    "vbscript://x",
    "file:///etc/passwd",
    "intent://x#Intent;end",
    "https:/pay.example",
    "https://",
    "https:///x",
    "weixin://",
    "weixin:x",
    "//pay.example/x",
    "pay.example",
    "https://pay.example@evil.example/",
    "https://pay.example\\@evil.example/",
    "https://evil.example\\.pay.example/",
    "https://evil.example\uff0f.pay.example/",
    "https://用户@pay.example/",
    "https://pay.example:99999/",
    "https://a b/",
    "https://-a/",
    "java\nscript://x",
    "https://pay.example/\tx",
    "https://pay.example/\x00",
    "https://pay.example/\ud800",
    "https://pay.example/" + "x" * 2_048,
    "https://pay.example/" + "确" * 300,
    "https://pay.example/#" + "确" * 300,
    "weixin://" + "确" * 300,
    "https://a\u207ab.example/",
    "x" * 10_000,
    5,
    {"url": "https://pay.example"},
)


class TestWhereTheUserConfirms:
    """A URL that leads to a page or to a wallet, in characters that every reader takes."""

    @pytest.mark.parametrize(("given", "kept"), list(KEPT.items()))
    def test_kept(self, given: str, kept: str) -> None:
        """Percent-encoded and in punycode; what is a URL already stays as it is."""
        assert answer_of(NEEDS_USER, None, None, given) == ChannelAnswer(NEEDS_USER, None, None, kept)
        assert bounded_url(kept) == kept

    @pytest.mark.parametrize("given", REFUSED)
    def test_left_out(self, given: object) -> None:
        """No other scheme, no user before the host, nothing that is read in two ways; and it is named."""
        assert answer_of(NEEDS_USER, None, None, given) == ChannelAnswer(
            NEEDS_USER, dropped=("needs_user_url",)
        )

    @given(
        st.sampled_from(["", "https://", "HTTP://", "weixin://", "https://a.b", "javascript:", "data:"]),
        st.text(max_size=60) | st.text("ab.:/?#@\\[]%&\u3002\uff0f\u2024 号", max_size=60),
    )
    def test_what_is_kept_is_safe(self, begin: str, rest: str) -> None:
        """Visible ASCII of a known scheme, read as the same host by others, and stable."""
        kept = bounded_url(begin + rest)
        if kept is None:
            return
        assert kept.isascii()
        assert kept.isprintable()
        assert " " not in kept
        assert bounded_url(kept) == kept
        scheme, _, after = kept.partition("://")
        assert scheme.lower() in {"http", "https", *WALLET_SCHEMES}
        if scheme.lower() not in WALLET_SCHEMES:
            authority = after.split("/")[0].split("?")[0].split("#")[0]
            assert "@" not in authority
            assert "\\" not in authority
            assert URL(kept, encoded=True).raw_authority.lower() == authority.lower()

    def test_a_package_of_wechat(self) -> None:
        """It is no URL."""
        assert answer_of(NEEDS_USER, None, None, "a/b+c==", bounded_package).needs_user_url == "a/b+c=="
        assert answer_of(NEEDS_USER, None, None, "a b", bounded_package).dropped == ("needs_user_url",)


def test_what_is_left_out_is_counted_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """Of each channel, without what it was."""
    metrics = MetricsRegistry()
    meter = PayoutMeter(metrics)
    with caplog.at_level(logging.WARNING):
        for channel in ("http", "http", "other"):
            meter.drop(channel, "channel_ref")
    assert [record.getMessage().partition(" in a ")[0] for record in caplog.records] == [
        "channel http gives a channel_ref",
        "channel other gives a channel_ref",
    ]
    assert b'rebate_payout_members_dropped_total{kind="channel_ref"} 3.0' in metrics.exposition()
