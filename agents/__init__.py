"""The agents, one module each: decode, ask the domain, hand the result to table and collector."""
