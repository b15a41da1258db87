"""The ways to handle an update that overhead.py compares, by what they run in."""
