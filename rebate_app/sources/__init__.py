"""Sources: orders fetched from the networks' APIs (docs/spec/sources.md).

The decisions are pure: `account.py` says which call is next and what an answer means, with the time as an
argument. `apis/` has one client per network, `driver.py` makes the calls and sends the facts.
"""
