"""One attempt: what is sent, what its answer means, and where it may go."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rebate_app.broker import free_port
from rebate_app.settings import ConfigurationError, Settings, load_settings
from rebate_app.webhooks.addresses import AddressRefusedError
from rebate_app.webhooks.delivery import DELIVERED, REFUSED, RETRY
from rebate_app.webhooks.poster import RESPONSE_BYTES_MAX, AttemptResult, Poster, retry_after
from rebate_app.webhooks.signing import headers_of, signature
from tests.webhooks.receiver import Receiver

BODY = b'{"event_id":"00","kind":"balance.changed"}'
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"


def settings_for(url: str, **more: str) -> Settings:
    """Return settings that send to that URL."""
    given = {"URL": url, "SECRET": "new,old", "ALLOW_PRIVATE": "1", "TIMEOUT": "0.4"} | more
    return load_settings({f"REBATE_WEBHOOK_{name}": value for name, value in given.items()})


def post(settings: Settings, body: bytes = BODY) -> AttemptResult:
    """Make one attempt."""

    async def one() -> AttemptResult:
        async with Poster(settings) as poster:
            return await poster.post(body, 3)

    return asyncio.run(one())


class TestSignature:
    """What is signed is what is sent."""

    def test_the_worked_example_of_the_page(self) -> None:
        """docs/webhooks.md shows secret, timestamp, body and the signature that they make."""
        page = PAGE.read_text(encoding="utf-8")
        example = dict(re.findall(r"^(secret|timestamp|body|signature): `(.*)`$", page, re.MULTILINE))
        made = signature([example["secret"].encode()], int(example["timestamp"]), example["body"].encode())
        assert made == example["signature"]

    def test_each_secret_signs(self) -> None:
        """While a secret is changed there are two signatures, the new one first."""
        new, old = signature([b"new", b"old"], 5, BODY).split(",")
        assert new == "v1=" + hmac.new(b"new", b"5." + BODY, hashlib.sha256).hexdigest()
        assert old == "v1=" + hmac.new(b"old", b"5." + BODY, hashlib.sha256).hexdigest()

    @pytest.mark.parametrize(
        "body",
        [
            b"\xff",
            b"[]",
            b'{"event_id":"a\\nb","kind":"c d"}',
            b"{}",
            b'{"event_id":"\xff\xfe"}',
            b'{"x":' + b"[" * 100_000,
        ],
    )
    def test_nothing_of_a_body_can_break_a_header(self, body: bytes) -> None:
        """What is no word, or no JSON, is `unknown` in the headers; the body goes as it is."""
        headers = headers_of(body, [b"s"], 1, 1)
        assert (headers["Rebate-Event-Id"], headers["Rebate-Event-Kind"]) == ("unknown", "unknown")


class TestAnswers:
    """2xx is delivered, what may pass is tried again, everything else is refused."""

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [
            *[(status, DELIVERED) for status in (200, 204)],
            *[(status, REFUSED) for status in (301, 307, 400, 404, 410)],
            *[(status, RETRY) for status in (408, 429, 500, 503)],
        ],
    )
    def test_a_status_means(self, status: int, outcome: str) -> None:
        """Each status has one meaning, and no redirect is followed."""
        with Receiver(lambda _: status, Location="/elsewhere") as receiver:
            answered = post(settings_for(receiver.url))
            assert (answered.outcome, answered.code) == (outcome, f"status-{status}")
            (request,) = receiver.requests
        assert request.body == BODY
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["Rebate-Delivery-Attempt"] == "3"
        stamp = int(request.headers["Rebate-Timestamp"])
        assert abs(stamp - time.time()) < 60
        assert request.headers["Rebate-Signature"] == signature([b"new", b"old"], stamp, BODY)

    def test_silence_and_absence_are_tried_again(self) -> None:
        """A receiver that says nothing in time, or does not listen, gets the event later."""
        with Receiver(lambda _: 0) as receiver:
            assert post(settings_for(receiver.url)).code == "timeout"
        absent = post(settings_for(f"http://127.0.0.1:{free_port()}/"))
        assert (absent.outcome, absent.code) == (RETRY, "connect")
        assert absent.detail

    def test_a_receiver_may_ask_for_peace(self) -> None:
        """Retry-After is heard, as seconds or as a date, and bounded."""
        with Receiver(lambda _: 429, Retry_After="7") as receiver:
            assert post(settings_for(receiver.url)).retry_after_seconds == 7
        assert retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 10) == 50
        assert retry_after("999999999", 0) == 600
        assert [retry_after(text, 0) for text in ("", "soon", "-5")] == [0, 0, 0]

    def test_an_endless_answer_is_read_to_a_bound(self, endless: str) -> None:
        """The status decides; of a body without end, 64 KiB are read."""
        answered = post(settings_for(endless, TIMEOUT="5"))
        assert answered.outcome == DELIVERED
        assert len(answered.body) == RESPONSE_BYTES_MAX

    def test_no_proxy_of_the_environment_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where events go is what REBATE_WEBHOOK_URL says, whatever HTTP_PROXY says."""
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        with Receiver() as receiver:
            assert post(settings_for(receiver.url)).outcome == DELIVERED


@pytest.fixture
def endless() -> Iterator[str]:
    """Return the URL of a server that never ends its answer."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    connection.sendall(b"1000\r\n" + b"x" * 4_096 + b"\r\n")
        except OSError:
            return

    import threading

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/"
    server.close()
    thread.join(5)


class TestAddresses:
    """Nothing inside anybody's network can be reached."""

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "[::1]", "127.1", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]"]
    )
    def test_no_way_of_writing_it_gets_through(self, host: str) -> None:
        """As a number, a name or a mapped address, loopback is refused before anything is sent."""
        with Receiver() as receiver:
            url = f"http://{host}:{receiver.port}/"
            answered = post(settings_for(url, ALLOW_PRIVATE="0"))
            assert answered.outcome == RETRY
            assert not receiver.requests
        if host in (
            "127.0.0.1",
            "localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ):
            assert answered.code == "address-refused"

    def test_the_address_is_looked_at_on_every_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that leads elsewhere the second time is refused then."""
        answers = iter(["1.1.1.1", "127.0.0.1"])

        def resolve(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 9))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        from rebate_app.webhooks.addresses import CheckedResolver

        async def twice() -> None:
            resolver = CheckedResolver(allow_private=False)
            assert (await resolver.resolve("a.example", 9))[0]["host"] == "1.1.1.1"
            with pytest.raises(AddressRefusedError):
                await resolver.resolve("a.example", 9)
            await resolver.close()

        asyncio.run(twice())

    def test_the_socket_itself_is_the_last_look(self) -> None:
        """Even an address that no resolver was asked about gets no socket."""
        from rebate_app.webhooks.addresses import checked_connector

        async def make() -> Callable[..., Any]:
            connector = checked_connector(allow_private=False, connections_max=1)
            factory: Callable[..., Any] = connector._socket_factory  # type: ignore[assignment]
            await connector.close()
            return factory

        factory = asyncio.run(make())
        with pytest.raises(AddressRefusedError):
            factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 80)))
        factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80))).close()


class TestSettings:
    """What cannot work is told before anything is consumed."""

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"URL": "https://a.example/"}, "needs a REBATE_WEBHOOK_SECRET"),
            ({"URL": "https://a.example/", "SECRET": "a,"}, "needs a REBATE_WEBHOOK_SECRET"),
            ({"URL": "https://a.example/", "SECRET": "a,b,c"}, "two secrets"),
            ({"URL": "ftp://a.example/", "SECRET": "a"}, "must be http://"),
            ({"URL": "https://a.example:x/", "SECRET": "a"}, "must be http://"),
            ({"URL": "https://u:p@a.example/", "SECRET": "a"}, "no user, password"),
            ({"RETRY_DELAYS": "3,2,1"}, "rising"),
            ({"RETRY_DELAYS": "1,2"}, "rising"),
        ],
    )
    def test_a_fault_is_told(self, given: dict[str, str], message: str) -> None:
        """A URL without a secret, or anything that is none, is a configuration error."""
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            load_settings({f"REBATE_WEBHOOK_{name}": value for name, value in given.items()})

    def test_secrets_are_masked_and_may_come_from_a_file(self, tmp_path: Path) -> None:
        """REBATE_WEBHOOK_SECRET_FILE names a file; what is shown of secrets is stars."""
        from rebate_app.settings import shown_settings

        (tmp_path / "secret").write_text("new,old\n")
        settings = load_settings(
            {
                "REBATE_WEBHOOK_URL": "https://a.example/",
                "REBATE_WEBHOOK_SECRET_FILE": str(tmp_path / "secret"),
            }
        )
        assert settings.webhook_secrets == (b"new", b"old")
        assert shown_settings(settings)["REBATE_WEBHOOK_SECRET"] == 3 * "*"
