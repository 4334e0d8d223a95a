"""Clients of the networks' APIs, one module each: requests and their signatures, and what answers mean.

No module does I/O. rebate_app/networks.py names the client of each network.
"""
