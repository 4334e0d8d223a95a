"""Faults on purpose: killed, frozen and cut off at every step, then compared with an independent reading."""
