"""The audit finds every planted fault, and no other."""
