"""REBATE_CHANNELS: every problem at once, no secret in any of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.simulators.payouts.__main__ import channel_entry
from rebate_app.payouts.channels.channel_file import DAY_SECONDS, parse_channels
from rebate_app.payouts.channels.yuan import parse_yuan, yuan_of

MANUAL = '[[channel]]\nname = "bank"\nkind = "manual"\n'


def problems_of(text: str, folder: Path) -> list[str]:
    """Return the problems of a file."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_channels(text.encode(), folder)
    return str(caught.value).replace("; did", ", did").split("; ")


class TestChannelFile:
    """What a channel may say."""

    def test_all_kinds_with_their_defaults(self, keys: Path) -> None:
        """A file may name one channel of each kind."""
        text = MANUAL + "".join(
            channel_entry(kind, "http://127.0.0.1:1", keys) for kind in ("http", "alipay", "wechat")
        )
        channels = parse_channels(text.encode(), keys)
        assert sorted(channels) == ["alipay", "bank", "http", "wechat"]
        assert {spec.not_found_after_seconds for spec in channels.values()} == {420}
        assert channels["http"].remembers_seconds == 7 * DAY_SECONDS
        assert channels["wechat"].remembers_seconds == 29 * DAY_SECONDS
        assert channels["bank"].timeout_seconds == 10
        assert len({spec.channel.identity for spec in channels.values()}) == 4

    def test_an_empty_file_has_no_channels(self, keys: Path) -> None:
        """Nobody pays anything."""
        assert parse_channels(b"", keys) == {}

    def test_paths_begin_at_the_files_folder(self, keys: Path) -> None:
        """So that file and keys can be mounted together."""
        text = (
            '[[channel]]\nname = "a"\nkind = "http"\nurl = "https://a.example"\nsecret_file = "http.secret"\n'
        )
        assert parse_channels(text.encode(), keys)["a"].kind == "http"

    def test_identity_is_kind_url_and_merchant(self, keys: Path) -> None:
        """A changed secret asks the same service; a changed URL does not."""
        entry = channel_entry("http", "http://127.0.0.1:1", keys)
        one = parse_channels(entry.encode(), keys)["http"]
        more = parse_channels((entry + "per_second = 1\n").encode(), keys)["http"]
        other = parse_channels(entry.replace(":1", ":2").encode(), keys)["http"]
        assert one.channel.identity == more.channel.identity != other.channel.identity
        assert one.digest != more.digest

    def test_every_problem_is_named_at_once(self, keys: Path) -> None:
        """One pass finds them all."""
        text = (
            '[[channel]]\nname = "a b"\nkind = "manual"\nper_second = 0\ntimeout = 3\n'
            '[[channel]]\nname = "c"\nkind = "htp"\n'
            '[[channel]]\nname = "d"\nkind = "http"\nurl = "http://pay.example"\nsecret_file = "missing"\n'
            '[[channel]]\nname = "e"\nkind = "http"\nurl = "https://u:p@a.b"\nsecret_file = "http.secret"\n'
            + MANUAL
            + MANUAL
        )
        found = problems_of(text, keys)
        wanted = (
            "channel[1].name: has to be 1-64",
            "channel[1].per_second: has to be a number above 0",
            "channel[1].timeout: unknown key, did you mean timeout_s?",
            "channel[2].kind: has to be 'http' or 'alipay' or 'wechat' or 'manual', not 'htp'",
            "channel[3].url: has to be https",
            "channel[3].secret_file: missing cannot be read: No such file or directory",
            "channel[4].url: may have no user",
            "channel[6].name: bank occurs twice",
        )
        assert len(found) == len(wanted)
        for problem, begin in zip(found, wanted, strict=True):
            assert problem.startswith(begin)

    @pytest.mark.parametrize(
        ("kind", "member", "file", "problem"),
        [
            ("alipay", "private_key_file", "service.crt", "holds no private key"),
            ("alipay", "private_key_file", "service.key", "holds a certificate of another key"),
            ("alipay", "app_cert_file", "http.secret", "holds no certificate"),
            ("alipay", "alipay_cert_file", "foreign.crt", "no root certificate of"),
            ("alipay", "alipay_root_cert_file", "http.secret", "holds no root certificate"),
            ("wechat", "platform_key_file", "http.secret", "holds no public key"),
            ("wechat", "api_v3_key_file", "http.secret", "the APIv3 key of 32 bytes"),
        ],
    )
    def test_wrong_credentials(self, kind: str, member: str, file: str, problem: str, keys: Path) -> None:
        """Whatever a credential is mistaken for, the sentence names the file and repeats nothing of it."""
        from examples.simulators.payouts.keys import new_certificate, new_key, write_certificate

        write_certificate(keys / "foreign.crt", new_certificate("Foreign", new_key()))
        lines = channel_entry(kind, "http://127.0.0.1:1", keys).splitlines()
        text = "\n".join(f'{member} = "{file}"' if line.startswith(member) else line for line in lines)
        found = problems_of(text, keys)
        assert any(problem in each for each in found)
        secret = (keys / "http.secret").read_text()
        assert not any(secret in each for each in found)

    @pytest.mark.parametrize(
        "line",
        [
            "failed_codes = [1]",
            'payer_codes = ["a b"]',
            'order_title = ""',
            'identity_type = "X"',
            "allow_http = 1",
            'url = "ftp://x"',
            'transfer_scene_report_infos = [{info_type = "a"}]',
        ],
    )
    def test_wrong_members(self, line: str, keys: Path) -> None:
        """Each is refused by name."""
        name = line.split(" =", maxsplit=1)[0]
        lines = channel_entry("alipay", "http://127.0.0.1:1", keys).splitlines()
        text = "\n".join([each for each in lines if not each.startswith(f"{name} ")] + [line])
        assert name in problems_of(text, keys)[0]

    @pytest.mark.parametrize("content", [b"\xff", b"= 1", b"channel = 1", b"other = 1"])
    def test_not_even_a_channel(self, content: bytes, keys: Path) -> None:
        """Other files are refused."""
        with pytest.raises(ValueError, match=r"."):
            parse_channels(content, keys)


class TestYuan:
    """Amounts in yuan, without floats."""

    @pytest.mark.parametrize(("fen", "text"), [(1, "0.01"), (995, "9.95"), (100, "1.00"), (-5, "-0.05")])
    def test_written(self, fen: int, text: str) -> None:
        """Two decimals."""
        assert yuan_of(fen) == text

    @pytest.mark.parametrize(
        ("text", "fen"),
        [("9.95", 995), ("9.9", 990), ("9", 900), ("9.955", None), ("1e3", None), ("-1", None), ("٩", None)],
    )
    def test_read(self, text: str, fen: int | None) -> None:
        """At most two decimals, nothing else."""
        assert parse_yuan(text) == fen
