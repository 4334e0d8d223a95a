"""What `rebate doctor` finds, and what it says about it."""
