"""One route: its path and purpose, and for each method the handler, query parameters and access."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..auth.access import Access
from ..context import Handler
from ..operation import Operation
from ..request_params import Parameter

#: Routes below this path check the names of query parameters; probes and `/metrics` ignore all parameters.
API_PATH = "/v1/"


class Method(Struct, frozen=True):
    """A method of a route: its handler, the query parameters that it reads (None: ignores all), its access.

    Every method has to say who may use it; None is refused when the route is made. `action`: what the audit
    trail calls it, by default the route's name and the method, such as `profile.put`. `operation`: what it
    takes and answers, which /openapi.json needs of every method for clients.
    """

    handler: Handler
    parameters: tuple[Parameter, ...] | None = ()
    access: Access | None = None
    action: str = ""
    operation: Operation | None = None


class Route(Struct, frozen=True):
    """A resource: `path` with {parameters}, each a whole segment, its `purpose`, and its methods by name.

    ValueError for a route below /v1 that ignores query parameters, and for a method without an access.
    """

    name: str
    path: str
    purpose: str
    methods: Mapping[str, Method]

    def __post_init__(self) -> None:
        """Refuse a route of the API that would ignore a misspelt parameter, or be open to everybody."""
        if any(each.access is None for each in self.methods.values()):
            raise ValueError(f"route {self.name!r} has to say who may use each method")
        if self.path.startswith(API_PATH) and any(each.parameters is None for each in self.methods.values()):
            raise ValueError(f"route {self.name!r} has to declare the query parameters of each method")

    def parameters_of(self, method: str) -> tuple[Parameter, ...]:
        """Return the declared query parameters of a method, none where the route lacks it."""
        return () if method not in self.methods else self.methods[method].parameters or ()
