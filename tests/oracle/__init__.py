"""An independent oracle: the money law written a second time, plainly, and random feeds to hold against it.

It is apart from the product on purpose and imports nothing of it; only `docs/spec` was on the table.
"""

from tests.oracle.feeds import Feed, make_feed, shuffle_with_repeats
from tests.oracle.oracle import Oracle, OrderRecord, UserRecord

__all__ = ["Feed", "Oracle", "OrderRecord", "UserRecord", "make_feed", "shuffle_with_repeats"]
