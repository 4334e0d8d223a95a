"""The bodies of answers and requests as types, from which /openapi.json is made; one module per noun.

Handlers write dictionaries; the test suite holds every answer that it gets against these types.
"""
