"""What ``FileSessionStorage`` is made of."""
