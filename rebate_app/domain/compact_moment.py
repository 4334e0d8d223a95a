"""Compact moments: the short form in which ledger entries and messages keep moments for people.

Whole seconds, which is what networks send, are seconds since 1970; any other moment is microseconds. The two
are unambiguous, since seconds up to the year 9999 are below 10^12. Within 12 days of 1970, where
microseconds are below it too, fractions are dropped.
"""

from __future__ import annotations

SECOND_US = 1_000_000
_MICROSECONDS_FROM = 10**12


def compact_moment(moment_us: int) -> int:
    """Return a moment in µs in its compact form."""
    if moment_us % SECOND_US and abs(moment_us) >= _MICROSECONDS_FROM:
        return moment_us
    return moment_us // SECOND_US


def full_moment(compact: int) -> int:
    """Return the moment in µs that a compact form stands for."""
    return compact if abs(compact) >= _MICROSECONDS_FROM else compact * SECOND_US
