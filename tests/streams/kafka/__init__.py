"""Tests of rebate_app/streams/kafka."""
