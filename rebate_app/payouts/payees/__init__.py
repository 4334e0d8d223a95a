"""Payees: encrypted at rest, masked over HTTP, in clear only for the call of a payment service."""
