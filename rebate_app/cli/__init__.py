"""The commands: `rebate …`, and the demonstration behind `make run`."""
