"""`rebate doctor`: its checks and their results."""
