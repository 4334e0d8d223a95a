"""Tests of the exports of the networks' back offices."""
