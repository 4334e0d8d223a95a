"""One adapter per network: its rows become facts of the contract, or reasons why not (contracts.md 8).

An adapter maps fields and codes, nothing else. What a fact needs is asked once, by the careful reading
of order_check.py, so that a file, HTTP and the topic refuse for the same reasons.
"""
