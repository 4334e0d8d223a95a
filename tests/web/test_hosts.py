"""`Host` has to name the worker (docs/spec/api-security.md#limits)."""

from __future__ import annotations

import pytest

from rebate_app.http_urls import authority_of_url, parse_authorities, parse_authority
from rebate_app.settings import ConfigurationError, load_settings
from rebate_app.web.server.hosts import AllowedHosts
from tests.web.raw_http import counted, get, host_of, raw_client, refused, request
from tests.web.worlds import World

CODE = "misdirected-request"
HOSTS = AllowedHosts("http://Worker-1.rebate.example:6066", parse_authorities("Api.Example, 10.0.0.9:8443"))
ALLOWED = (
    *(("worker-1.rebate.example:6066", "10.1.2.3"), ("WORKER-1.rebate.example.", "10.1.2.3")),
    *(("api.example", "10.1.2.3"), ("API.EXAMPLE.:443", "10.1.2.3"), ("10.0.0.9:8443", "10.1.2.3")),
    *(("10.1.2.3", "10.1.2.3"), ("10.1.2.3:9", "::ffff:10.1.2.3"), ("10.1.2.3:", "10.1.2.3")),
    *(
        ("localhost", "127.0.0.1"),
        ("LocalHost.:6066", "::1"),
        ("127.0.0.1", "::1"),
        ("127.8.0.1", "127.0.0.1"),
    ),
    *(("[::1]:6066", "127.0.0.1"), ("[0:0:0:0:0:0:0:1]", "::1"), ("[::ffff:127.0.0.1]", "127.0.0.1")),
    *(("[fe80::1]:1", "fe80::1%eth0"), ("[fe80::1%25eth0]:1", "fe80::1%eth0")),
)
FOREIGN = (
    *(("", "127.0.0.1"), ("evil.example", "127.0.0.1"), ("localhost.evil.example", "127.0.0.1")),
    *(("localhost", "10.1.2.3"), ("127.0.0.1", "10.1.2.3"), ("[::1]", "fe80::1"), ("10.0.0.9", "10.1.2.3")),
    *(("10.0.0.9:8444", "10.1.2.3"), ("api.example..", "10.1.2.3"), (".api.example", "10.1.2.3")),
    *(("xapi.example", "10.1.2.3"), ("a@api.example", "10.1.2.3"), ("api.example/", "10.1.2.3")),
    *(("api.example:0", "10.1.2.3"), ("api.example:65536", "10.1.2.3"), ("api.example:8a", "10.1.2.3")),
    *(("127.1", "127.0.0.1"), ("2130706433", "127.0.0.1"), ("0x7f.1", "127.0.0.1"), ("::1", "::1")),
    *(("localhost, evil.example", "127.0.0.1"), ("[::1", "::1"), ("[evil]", "::1"), ("api.exämple", "::1")),
    *(("localhost", ""), ("localhost evil", "127.0.0.1"), ("0127.0.0.1", "127.0.0.1")),
)


class TestAllowedHosts:
    """Names and addresses, without a server."""

    @pytest.mark.parametrize(("text", "local"), ALLOWED)
    def test_a_host_of_ours(self, text: str, local: str) -> None:
        """The advertised host, a configured one, the connection's own address, loopback on loopback."""
        assert HOSTS.allows(text, local)
        assert HOSTS.allows(text, local), "a second time"

    @pytest.mark.parametrize(("text", "local"), FOREIGN)
    def test_a_host_of_others(self, text: str, local: str) -> None:
        """Everything else, whatever it resembles."""
        assert not HOSTS.allows(text, local)

    def test_a_worker_without_a_host_of_its_own(self) -> None:
        """`REBATE_WEB_HOST` may be empty; then only the connection's address and the configured hosts are."""
        assert AllowedHosts("http://:6066").allows("10.1.2.3", "10.1.2.3")
        assert not AllowedHosts("http://:6066").allows("", "10.1.2.3")


class TestSettings:
    """The settings are checked at the start."""

    @pytest.mark.parametrize("text", ["a,,b", "http://a", "a:0", "a b", "[::1"])
    def test_a_bad_list_is_refused(self, text: str) -> None:
        """`REBATE_ALLOWED_HOSTS` is hosts with optional ports."""
        with pytest.raises(ConfigurationError, match="REBATE_ALLOWED_HOSTS"):
            load_settings({"REBATE_ALLOWED_HOSTS": text})

    @pytest.mark.parametrize("text", ["worker-1:6066", "ftp://a", "http://", "http://a b", "http://a:99999"])
    def test_a_bad_advertised_url_is_refused(self, text: str) -> None:
        """`REBATE_ADVERTISED_URL` is an http or https URL."""
        with pytest.raises(ConfigurationError, match="REBATE_ADVERTISED_URL"):
            load_settings({"REBATE_ADVERTISED_URL": text})

    def test_hosts_are_compared_in_one_form(self) -> None:
        """Case, a final dot and the notation of an address make no difference."""
        assert parse_authority("A.Example.:80") == parse_authority("a.example:80")
        assert authority_of_url("https://[::1]:6066/x") == parse_authority("[0::1]:6066")
        assert parse_authorities(" ") == ()


@pytest.mark.asyncio
class TestOverTheWire:
    """What a client gets."""

    @pytest.mark.parametrize("host", ["evil.example", "", "127.0.0.1.evil.example", "localhost:x"])
    async def test_a_foreign_host_is_421(self, world: World, host: str) -> None:
        """Whatever the path, and before the body is looked at; an id of the request is kept."""
        for method, target in (("GET", "/v1/users/u1/balance"), ("POST", "/v1/orders"), ("GET", "/nowhere")):
            async with raw_client(world) as client:
                fields = (f"Host: {host}", "X-Request-Id: r-1", "Content-Encoding: gzip", "Content-Length: 0")
                answer = await client.ask(request(method, target, *fields))
            refused(answer, 421, CODE)
            assert answer.headers["x-request-id"] == "r-1"
        assert counted(world, "rebate_http_refused_total")[CODE] == 3

    @pytest.mark.parametrize("target", ["/livez", "/readyz", "/metrics", "/livez?x=1"])
    async def test_probes_and_metrics_take_any_host(self, world: World, target: str) -> None:
        """Whoever watches knows an address only."""
        for fields in ([b"Host: 10.9.8.7:1"], [b"Host: "]):
            async with raw_client(world) as client:
                answer = await client.ask(request("GET", target, *(field.decode() for field in fields)))
            assert answer.status == 200

    async def test_http_1_0_without_a_host(self, world: World) -> None:
        """It names nothing, so only probes and metrics are answered."""
        for target, status in (("/livez", 200), ("/v1/users/u1/balance", 421)):
            async with raw_client(world) as client:
                answer = await client.ask(f"GET {target} HTTP/1.0\r\n\r\n".encode())
            assert answer.status == status

    async def test_an_absolute_target_names_a_host_too(self, world: World) -> None:
        """Both have to be ours: neither hides the other."""
        own = host_of(world)
        for target, host, status in (
            (f"http://{own}/v1/users/u1/balance", own, 200),
            ("http://LOCALHOST./v1/users/u1/balance?at=2026-02-01T00:00:00Z", own, 200),
            ("http://evil.example/v1/users/u1/balance", own, 421),
            (f"http://{own}/v1/users/u1/balance", "evil.example", 421),
            (f"http://x@{own}/v1/users/u1/balance", own, 421),
            ("http://evil.example?/v1/users", own, 421),
            ("http://evil.example/livez", own, 200),
        ):
            async with raw_client(world) as client:
                answer = await client.ask(request("GET", target, f"Host: {host}"))
            assert answer.status == status, (target, host)

    async def test_a_configured_host(self) -> None:
        """A name in `REBATE_ALLOWED_HOSTS` is one of ours."""
        async with World(allowed_hosts="rebate.example") as world, raw_client(world) as client:
            answer = await client.ask(request("GET", "/v1/users/u1/balance", "Host: Rebate.Example:8443"))
            assert answer.status == 200

    async def test_workers_among_themselves(self, pair: World) -> None:
        """A request that is forwarded names the other worker's advertised address."""
        other = 1 - pair.owner_of("u1")
        async with raw_client(pair, other) as client:
            assert (await client.ask(get(pair, worker=other))).status == 200
