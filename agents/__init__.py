"""The agents, one module each: decode, ask the domain, hand the result to the table and the outbox."""
