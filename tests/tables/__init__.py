"""Tests of the tables: record kinds and their keys."""
