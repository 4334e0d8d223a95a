"""What a method of a route takes and answers, for /openapi.json (docs/how-to/add-a-resource.md).

The table of routes gives each method one `Operation`. Path, query parameters, access and the problems that
follow from them are in the route itself; here is what only the handler knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

JSON: Final = "application/json"
HTML: Final = "text/html"


#: Statuses of answers that have no body.
WITHOUT_BODY: Final = (204, 304)


class RequestBody(Struct, frozen=True):
    """The JSON body of a request.

    `type`: a Struct, or a function that returns (JSON Schema, definitions by name). `reasons`: codes of the
    422 that names each bad member, none where the body is refused otherwise. `names_members` false: a 422 may
    be about the request as a whole. `required` false: the request may come without a body.
    """

    type: Any
    reasons: tuple[str, ...] = ()
    names_members: bool = True
    required: bool = True


class Operation(Struct, frozen=True):
    """What a method takes and answers when it succeeds, and which problems it has of its own.

    `answer`: the Struct of the JSON body, None for a text of `media_type`; 204 and 304 have none. `also`:
    further statuses, with the same body. `codes`: problem codes beside those that follow from path,
    parameters, access and body. `headers`: names of OPENAPI_HEADERS that the answer has. `unforeseen`:
    code → why a request within the description may still get it.
    """

    answer: Any = None
    status: int = 200
    media_type: str = JSON
    headers: tuple[str, ...] = ()
    also: Mapping[int, str] = {}
    codes: tuple[str, ...] = ()
    body: RequestBody | None = None
    unforeseen: Mapping[str, str] = {}


Definitions = tuple[dict[str, Any], dict[str, Any]]
SchemaSource = Callable[[], Definitions]
