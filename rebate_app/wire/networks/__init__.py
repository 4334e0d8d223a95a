"""Adapters: the rows of each network become facts of docs/spec/facts.md, or reasons why not.

An adapter maps envelopes, fields and codes (docs/spec/networks.md#rows). What a fact needs is checked once,
by order_check.py, so that files, HTTP and the topic refuse for the same reasons. rebate_app/networks.py lists
the networks; adapter.py defines an adapter; file_reader.py reads files with one.
"""
