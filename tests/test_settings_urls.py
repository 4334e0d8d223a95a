"""URLs and secrets in settings: what is refused at the start, and that nothing shows what may be a secret."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from traceback import format_exception

import pytest

from rebate_app.doctor.local_checks import check_settings, check_webhook
from rebate_app.http_urls import origin
from rebate_app.settings import ConfigurationError, Settings, load_settings, shown_settings
from rebate_app.webhooks.poster import Poster

TOKEN = "t0psecret"  # noqa: S105 - stands for one
CHECKOUT = Path(__file__).parents[1]


def webhook(url: str, **more: str) -> Settings:
    """Return settings with this webhook URL."""
    return load_settings({"REBATE_WEBHOOK_URL": url, "REBATE_WEBHOOK_SECRET": "s", **more})


REFUSED = {
    "a space": f"https://a.example/{TOKEN} x",
    "a leading space": f" https://a.example/{TOKEN}",
    "a trailing newline": f"https://a.example/{TOKEN}\n",
    "a tab": f"https://a.example/{TOKEN}\tx",
    "a header of its own": f"https://a.example/{TOKEN}\r\nX-Evil: 1",
    "a null": f"https://a.example/{TOKEN}\0",
    "an escape character": f"https://a.example/{TOKEN}\x1b[2J",
    "a no-break space": f"https://a.example/{TOKEN}\u00a0",
    "a zero-width space": f"https://a.example\u200b/{TOKEN}",
    "a right-to-left mark": f"https://a.example/\u202e{TOKEN}",
    "a host in Chinese": f"https://例子.example/{TOKEN}",
    "a path in Chinese": f"https://a.example/回调/{TOKEN}",
    "a backslash": f"https://a.example\\@b.example/{TOKEN}",
    "quotes": f'https://a.example/"{TOKEN}"',
    "angle brackets": f"<https://a.example/{TOKEN}>",
    "a broken escape": f"https://a.example/{TOKEN}%2",
    "user and password": f"https://user:{TOKEN}@a.example/",
    "a user": f"https://{TOKEN}@a.example/",
    "an empty user": f"https://@a.example/{TOKEN}",
    "a fragment": f"https://a.example/#{TOKEN}",
    "an empty fragment": f"https://a.example/{TOKEN}#",
    "no host": f"https:///{TOKEN}",
    "only a port": f"https://:443/{TOKEN}",
    "no scheme": f"a.example/{TOKEN}",
    "a scheme of another kind": f"file:///{TOKEN}",
    "one slash": f"https:/a.example/{TOKEN}",
    "port 0": f"https://a.example:0/{TOKEN}",
    "a port too high": f"https://a.example:65536/{TOKEN}",
    "a port in words": f"https://a.example:https/{TOKEN}",
    "an empty port": f"https://a.example:/{TOKEN}",
    "an open bracket": f"https://[::1/{TOKEN}",
    "brackets around no address": f"https://[a.example]/{TOKEN}",
    "an address that is none": f"https://[1::2::3]/{TOKEN}",
    "a zone": f"https://[fe80::1%25eth0]/{TOKEN}",
    "an empty label": f"https://a..example/{TOKEN}",
    "a label too long": f"https://{'a' * 64}.example/{TOKEN}",
    "a name too long": f"https://{'a.' * 127}example/{TOKEN}",
    "an escape in the host": f"https://a%2eexample/{TOKEN}",
    "too long": f"https://a.example/{TOKEN}{'x' * 2_048}",
}


class TestRefused:
    """What is no URL that can be used as it is written ends the start, in one sentence."""

    @pytest.mark.parametrize("url", REFUSED.values(), ids=REFUSED.keys())
    def test_a_webhook_url_that_cannot_be_used(self, url: str) -> None:
        """The sentence names the variable and not its value."""
        with pytest.raises(ConfigurationError) as refused:
            webhook(url)
        sentence = str(refused.value)
        assert sentence.startswith("REBATE_WEBHOOK_URL ")
        assert TOKEN not in "".join(format_exception(refused.value))
        assert sentence.isprintable()
        assert "; " not in sentence

    @pytest.mark.parametrize(
        "url",
        [
            "http://a.example",
            "HTTPS://A.example:8443/hook?token=%E5%9B%9E&x=1",
            "https://a_b.example./x",
            "https://xn--fsqu00a.example/",
            "http://127.0.0.1:8080/",
            "http://[::1]:8080/a;b=c,d",
        ],
    )
    def test_others_are_used_as_they_are(self, url: str) -> None:
        """Nothing is normalised."""
        assert webhook(url).webhook_url == url

    @pytest.mark.parametrize("name", ["REBATE_URL", "REBATE_ADVERTISED_URL"])
    @pytest.mark.parametrize(
        "url", [f"http://u:{TOKEN}@a.example", f"http://a.example/?key={TOKEN}", f"http://a.example/ {TOKEN}"]
    )
    def test_workers_are_named_without_credentials(self, name: str, url: str) -> None:
        """Workers' URLs are shown to whoever asks, so that nothing secret can be in them."""
        with pytest.raises(ConfigurationError) as refused:
            load_settings({name: url})
        assert str(refused.value).startswith(f"{name} ")
        assert TOKEN not in str(refused.value)

    def test_brokers_are_named_without_credentials(self) -> None:
        """REBATE_BROKER is part of many sentences."""
        with pytest.raises(ConfigurationError, match="REBATE_SASL_") as refused:
            load_settings({"REBATE_BROKER": f"user:{TOKEN}@kafka:9092"})
        assert TOKEN not in str(refused.value)

    @pytest.mark.parametrize(
        "command", [("faust", "-A", "rebate_app", "worker"), ("rebate_app.cli", "doctor")]
    )
    def test_the_process_ends_with_78(self, command: tuple[str, ...]) -> None:
        """A worker and a command alike end with one line and no traceback."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            env={
                "REBATE_WEBHOOK_URL": REFUSED["a space"],
                "REBATE_WEBHOOK_SECRET": "s",
                "PATH": "/usr/bin:/bin",
            },
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 78, output
        assert "REBATE_WEBHOOK_URL has white space at character 28" in output
        assert "Traceback" not in output
        assert TOKEN not in output


class TestSecretFiles:
    """A `…_FILE` that cannot be read is a fault of the configuration."""

    def test_it_is_missing_or_no_text(self, tmp_path: Path) -> None:
        """One sentence names the variable and the file."""
        with pytest.raises(
            ConfigurationError, match=r"REBATE_SASL_PASSWORD_FILE .*gone cannot be read: No such"
        ):
            load_settings({"REBATE_SASL_PASSWORD_FILE": str(tmp_path / "gone")})
        with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
            load_settings({"REBATE_SASL_PASSWORD_FILE": str(tmp_path)})
        (tmp_path / "bytes").write_bytes(b"\xff\xfe" + TOKEN.encode())
        with pytest.raises(ConfigurationError, match="is not UTF-8 text") as refused:
            load_settings({"REBATE_WEBHOOK_SECRET_FILE": str(tmp_path / "bytes")})
        assert TOKEN not in str(refused.value)


@pytest.fixture
def malformed() -> Iterator[str]:
    """Return the URL of a server whose answers are not HTTP."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 nonsense\r\n\r\n")
        except OSError:
            return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(5)


class TestMasked:
    """Of the webhooks' URL scheme, host and port are shown, nothing else, anywhere."""

    URL = f"https://93.184.216.34:8443/robot/{TOKEN}?access_token={TOKEN}"

    def test_settings_and_doctor(self) -> None:
        """The worker's log, `rebate doctor` and a repr have the origin at most."""
        settings = webhook(self.URL)
        assert shown_settings(settings)["REBATE_WEBHOOK_URL"] == "https://93.184.216.34:8443"
        assert "REBATE_WEBHOOK_URL=https://93.184.216.34:8443," in check_settings(settings).summary
        assert TOKEN not in f"{settings!r}{check_settings(settings)}{check_webhook(settings)}"

    def test_other_faults_do_not_show_it(self) -> None:
        """A fault elsewhere in the environment repeats no other value."""
        with pytest.raises(ConfigurationError) as refused:
            webhook(self.URL, REBATE_WEB_PORT="x", REBATE_WEBHOOK_TIMEOUT="0")
        assert TOKEN not in "".join(format_exception(refused.value))

    def test_a_failed_attempt(self, malformed: str) -> None:
        """What a failed attempt reports does not name path and query."""
        url = f"{malformed}/{TOKEN}?t={TOKEN}"

        async def post(settings: Settings) -> str:
            async with Poster(settings) as poster:
                answered = await poster.post(b"{}", 1)
            assert answered.outcome == "retry"
            return answered.detail

        allowed = {"REBATE_WEBHOOK_ALLOW_PRIVATE": "1", "REBATE_WEBHOOK_TIMEOUT": "5"}
        for settings in (webhook(url, **allowed), webhook(url), webhook(f"http://256.256.256.256/{TOKEN}")):
            detail = asyncio.run(post(settings))
            assert detail
            assert TOKEN not in detail

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("", ""),
            ("https://u:p@a.example:1/x?y#z", "https://a.example:1"),
            ("http://[::1]:80/x", "http://[::1]:80"),
            ("http://[", "***"),
            (TOKEN, "***"),
        ],
    )
    def test_the_origin_of_anything(self, url: str, shown: str) -> None:
        """Also of what was never checked nothing else is shown."""
        assert origin(url) == shown
