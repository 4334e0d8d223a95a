"""A Taoke (CPS cashback) rebate backend: order lines in, every user's balance out, exactly once."""
