"""Formats at the border: what others write is read, checked and refused here, and nowhere else.

It is separate so that the domain never sees text, and so that no format can leak into money.
"""
