"""Simulated payment services: `python -m examples.simulators.payouts KIND --port 9100 --keys FOLDER`.

They are written apart from the product: signatures are made and checked here by other code than there.
"""
