"""How payees are shown: enough to recognise one's own, not enough to use."""

from __future__ import annotations

from typing import Final

HEAD_CHARACTERS: Final = 3
TAIL_CHARACTERS: Final = 4
MASK: Final = "*"


def mask_account(account: str) -> str:
    """Return an account with its first 3 and last 4 characters, never more than half of it.

    Of an e-mail address the first character of the local part, and the domain.
    """
    local, at, domain = account.rpartition("@")
    if at and local:
        return local[0] + MASK * 3 + at + domain
    shown = min(HEAD_CHARACTERS + TAIL_CHARACTERS, len(account) // 2)
    head = shown * HEAD_CHARACTERS // (HEAD_CHARACTERS + TAIL_CHARACTERS)
    tail = shown - head
    hidden = MASK * (len(account) - shown)
    return account[:head] + hidden + (account[-tail:] if tail else "")


def mask_name(name: str) -> str:
    """Return a name of which the last character is left; of a single one nothing is."""
    return MASK * (len(name) - 1) + name[-1:] if len(name) > 1 else MASK * len(name)
