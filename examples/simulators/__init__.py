"""Simulators of remote sides, each with its own ledger and the faults that its service is known for.

Networks (docs/spec/sources.md) answer requests for orders, payment services (docs/payouts.md) pay. Nothing
here was tried against the real services. A simulator is a function of a request and a moment, so a clock can
run as fast as one likes; the servers serve it over HTTP.
"""
