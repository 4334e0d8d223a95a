"""The audit finds every fault that was planted, and none where there is none."""
