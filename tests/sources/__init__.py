"""Tests of fetching: clients, decisions and runs against the simulators of examples/simulators."""
