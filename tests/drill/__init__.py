"""The operators' drill: a system of three workers, and faults that are injected into it one by one."""
