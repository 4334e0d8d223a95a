"""Query parameters: every route below /v1 declares its own, and takes no others.

See docs/spec/http.md#resources.
"""

from __future__ import annotations

import re

import pytest

from rebate_app.web.auth.access import OPEN
from rebate_app.web.problems import ProblemError
from rebate_app.web.request_params import AT, WAIT_MS, check_query
from rebate_app.web.routes.route import API_PATH, Method, Route
from rebate_app.web.routes.table import ROUTES
from tests.web.facts import BUYER, paid
from tests.web.worlds import World, problem

METHODS = [
    pytest.param(route, method, id=f"{method} {route.name}")
    for route in ROUTES
    if route.path.startswith(API_PATH)
    for method in (*route.methods, *(["HEAD"] if "GET" in route.methods else []))
]
#: A value of each parameter that can be used.
GOOD = {
    "at": "2026-02-01T00:00:00Z",
    "limit": "1",
    "unbound": "true",
    "wait_ms": "0",
    "topic": "order_topic",
    "open": "true",
    "since": "2026-02-01T00:00:00Z",
    "user_id": "u1",
    "order_id": "1",
    "status": "paid",
    "platform": "taobao",
    "role": "buyer",
    "paid_from": "2026-02-01T00:00:00Z",
    "paid_to": "2026-02-01T00:00:00Z",
}
#: What a route cannot do without, by its name.
NEEDED = {
    "attributions": "unbound=true&",
    "balances": "user_id=u1&",
    "order-lines": "order_id=1&",
    "all-openings": "batch=b&",
}


def path_of(route: Route) -> str:
    """Return a path of the route."""
    return re.sub(r"\{[a-z_]+\}", "x", route.path)


class TestDeclarations:
    """A new route cannot be forgotten."""

    def test_a_route_of_the_api_without_declared_parameters_is_refused(self) -> None:
        """Each method declares its parameters, none by default; routes outside /v1 may ignore all."""
        handler = ROUTES[0].methods["GET"].handler
        declared, ignoring = Method(handler, (AT,), OPEN), Method(handler, None, OPEN)
        for methods in ({"GET": ignoring}, {"GET": declared, "PUT": ignoring}):
            with pytest.raises(ValueError, match="declare"):
                Route("new", "/v1/new", "", methods)
        assert Route("new", "/v1/new", "", {"GET": declared}).parameters_of("GET") == (AT,)
        assert Route("new", "/v1/new", "", {"GET": Method(handler, access=OPEN)}).parameters_of("GET") == ()
        assert Route("probe", "/probe", "", {"GET": ignoring}).parameters_of("GET") == ()

    def test_everything_but_probes_metrics_and_internal_is_below_v1(self) -> None:
        """What is not checked is what machines ask, and what workers ask each other."""
        assert {route.name for route in ROUTES if not route.path.startswith(API_PATH)} == {
            "metrics",
            "openapi",
            "docs",
            "livez",
            "readyz",
            "identity",
            "own-reach",
            "internal",
        }

    def test_names_are_checked_in_order(self) -> None:
        """The first bad name is the one that is reported."""
        check_query((AT,), [("at", "2026-01-01T00:00:00Z")])
        check_query((), [])

    @pytest.mark.parametrize("value", ["0.5", "-1", "2001", "", "1e3", "٣"])
    def test_integers_are_checked_whether_they_are_read_or_not(self, value: str) -> None:
        """A write that is answered at once does not wait, and its `wait_ms` is refused all the same."""
        check_query((WAIT_MS,), [("wait_ms", "2000")])
        with pytest.raises(ProblemError) as caught:
            check_query((WAIT_MS,), [("wait_ms", value)])
        assert caught.value.code == "invalid-wait_ms"


@pytest.mark.asyncio
class TestUnknown:
    """Parameters that a route does not have."""

    @pytest.mark.parametrize(("route", "method"), METHODS)
    async def test_an_unknown_one_is_400(self, world: World, route: Route, method: str) -> None:
        """Whatever the route, a parameter it does not declare is `unknown-parameter`, and nothing is sent."""
        for name in ("x", "At", "att", "limit_", "events", "%FF", "", "%00", "at%20", "x" * 300):
            reply = await world.ask(method, f"{path_of(route)}?{name}=1")
            assert reply.status == 400
            if method != "HEAD":
                body = problem(reply, 400, "unknown-parameter")
                for parameter in route.parameters_of(method):
                    assert parameter.name in body["detail"]
                assert len(body["detail"]) < 300
        assert world.workers[0].sender.sent == 0

    async def test_one_of_another_route_is_unknown_too(self, world: World) -> None:
        """Each route has its own: no moment for writes, no page for a balance, no wait for reads."""
        for method, target in (
            ("POST", "/v1/orders?at=2026-02-01T00:00:00Z"),
            ("GET", "/v1/users/u1/balance?limit=1"),
            ("GET", "/v1/users/u1/balance?wait_ms=1"),
            ("GET", "/v1/users?unbound=true"),
            ("GET", "/v1/attributions/taobao:pid:p?wait_ms=1"),
            ("PUT", "/v1/attributions/taobao:pid:p?at=2026-02-01T00:00:00Z"),
        ):
            problem(await world.ask(method, target), 400, "unknown-parameter")

    async def test_a_good_one_beside_does_not_help(self, world: World) -> None:
        """One unknown parameter among good ones refuses the request."""
        problem(await world.get("/v1/users?limit=1&limits=2"), 400, "unknown-parameter")

    async def test_probes_and_metrics_ignore_them(self, world: World) -> None:
        """Monitoring systems add parameters of their own."""
        for target in ("/livez?x=1", "/readyz?x=1", "/metrics?name[]=x&x=1&x=2"):
            assert (await world.get(target)).status == 200


@pytest.mark.asyncio
class TestRepeated:
    """Parameters that are given twice."""

    @pytest.mark.parametrize(("route", "method"), METHODS)
    async def test_a_repeated_one_is_its_own_400(self, world: World, route: Route, method: str) -> None:
        """Each parameter has one value: two are refused with its own code, also if they are equal."""
        for parameter in route.parameters_of("GET" if method == "HEAD" else method):
            if parameter.repeatable:
                continue
            value = GOOD.get(parameter.name, "x")
            reply = await world.ask(
                method, f"{path_of(route)}?{parameter.name}={value}&{parameter.name}={value}"
            )
            assert reply.status == 400
            if method != "HEAD":
                problem(reply, 400, parameter.invalid)

    async def test_once_is_taken(self, world: World) -> None:
        """Every parameter works where it is declared."""
        world.orders(paid(attribution={"pid": "p"}))
        for route in ROUTES:
            for parameter in route.parameters_of("GET"):
                if parameter.name in GOOD and route.name not in ("dead-letters", "order-line", "attribution"):
                    needed = NEEDED.get(route.name, "")
                    also = "" if needed.startswith(parameter.name) else needed
                    target = f"{path_of(route)}?{also}{parameter.name}={GOOD[parameter.name]}"
                    assert (await world.get(target)).status == 200, target


@pytest.mark.asyncio
class TestForwarding:
    """Parameters over a hop."""

    async def test_they_travel_and_are_checked_by_whoever_is_asked(self, pair: World) -> None:
        """Every worker refuses the same, and what is good reaches the owner as it came."""
        pair.orders(paid(line_id="1"), paid(line_id="2"))
        for worker in (0, 1):
            page = await pair.read(
                f"/v1/users/{BUYER}/lines?at=2026-02-01T00%3A00%3A00%2B08:00&limit=1", worker
            )
            assert (len(page["items"]), page["at"]) == (1, "2026-02-01T00:00:00+08:00")
            problem(await pair.get(f"/v1/users/{BUYER}/lines?limits=1", worker), 400, "unknown-parameter")
            problem(await pair.get(f"/v1/users/{BUYER}/lines?limit=1&limit=1", worker), 400, "invalid-limit")
