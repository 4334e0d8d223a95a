"""The trail of one request that changes something (docs/spec/api-security.md#audit-trail).

A handler writes its facts through `RequestTrail.write`, so that both go in one transaction. What a handler
does not write, refusals above all, is written alone before the request is answered. Where the trail cannot
be written the answer is 503, and nothing was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rebate_app.secret_ring import SecretRing
from rebate_app.wire.audit_trail import Requester, TrailRecord, body_hmac, encode_trail, shortened_subject
from rebate_app.wire.moments import format_moment

from .problems import ProblemError, broker_away
from .routing.ports import AuditTrail, BrokerAwayError

#: Refusals that are recorded; not what is malformed (400), too large or too often, nor 401: nobody sent it.
RECORDED: Final = frozenset({403, 404, 409, 422})
ACCEPTED: Final = 202
REFUSED_FROM: Final = 400
#: Methods that change nothing.
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestTrail:
    """What the trail says of one request, and whether it has been written.

    `body` returns the body as far as a handler has read it. `reason` is set by handlers.
    """

    def __init__(
        self,
        trail: AuditTrail,
        clock: Callable[[], int],
        secrets: SecretRing | None,
        action: str,
        subject: str | None,
        requester: Requester,
        address: str,
        body: Callable[[], bytes | None],
    ) -> None:
        self._trail = trail
        self._clock = clock
        self._secrets = secrets
        self._action = action
        self._subject = subject
        self._author = requester
        self._address = address
        self._body = body
        self._open = True
        self.reason: str | None = None

    def record(self, status: int) -> TrailRecord:
        """Return the record of this request with that answer."""
        return TrailRecord(
            at=format_moment(self._clock()),
            actor=self._author.actor,
            via="http",
            request_id=self._author.request_id,
            remote=self._address or None,
            action=self._action,
            subject=None if self._subject is None else shortened_subject(self._subject),
            status=status,
            reason=self.reason,
            body_hmac=body_hmac(self._secrets, self._body()),
        )

    async def write(self, topic: str, records: Sequence[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
        """Write the facts of an accepted request, and its trail; return (partition, offset) of each fact."""
        sent = await self._trail.write([self.record(ACCEPTED)], topic, records, self._author.headers)
        self._open = False
        return sent

    def encoded(self) -> list[tuple[bytes, bytes]]:
        """Return the accepted request's record, (key, value), for whoever writes it in their own transaction.

        Give the list to `taken` afterwards: it is empty once the record is committed.
        """
        return [encode_trail(self.record(ACCEPTED))]

    def taken(self, pending: Sequence[tuple[bytes, bytes]]) -> None:
        """Note whether somebody else's transaction has written the record."""
        self._open = self._open and bool(pending)

    async def begin(self) -> None:
        """Record an accepted request before it changes what cannot share a transaction with its record.

        ProblemError `broker-away`: it must do nothing.
        """
        await self._finish(ACCEPTED)

    def count_orders(self, facts: int) -> None:
        """Leave accepted order facts to the summary of the minute."""
        self._trail.note_orders(self._author.actor, facts)
        self._open = False

    def skip(self) -> None:
        """Record nothing: the request changes nothing."""
        self._open = False

    async def refuse(self, problem: ProblemError) -> None:
        """Record a refusal, if it is one of those; ProblemError `broker-away` in its place."""
        await self._refuse(problem.kind.status)

    async def complete(self, status: int) -> None:
        """Record a request whose handler had nothing to write and answered with that status.

        What is accepted is recorded as such, whether it is there already, was created, or has begun: what
        became of it is in the log.
        """
        if status < REFUSED_FROM:
            await self._finish(ACCEPTED)
        else:
            await self._refuse(status)

    async def _refuse(self, status: int) -> None:
        if status in RECORDED:
            await self._finish(status)

    async def _finish(self, status: int) -> None:
        if not self._open:
            return
        self._open = False
        try:
            await self._trail.write([self.record(status)])
        except BrokerAwayError as error:
            detail = "the audit trail cannot be written for now, and nothing was done; send it again later"
            raise broker_away(detail) from error


def subject_of(params: Mapping[str, str]) -> str | None:
    """Return what a request is about: the parameters of its path."""
    return "/".join(params.values()) or None
