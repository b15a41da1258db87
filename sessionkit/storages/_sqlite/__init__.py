"""What ``SQLiteSessionStorage`` is made of."""
