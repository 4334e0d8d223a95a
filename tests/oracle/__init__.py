"""An independent oracle: the money law written a second time, plainly, and random feeds to hold against it.

It is apart from the product on purpose and imports nothing of it; only `contracts.md` was on the table.
"""

from .feeds import Feed, make_feed, shuffle_with_repeats
from .oracle import Oracle, OrderRecord, UserRecord

__all__ = ["Feed", "Oracle", "OrderRecord", "UserRecord", "make_feed", "shuffle_with_repeats"]
