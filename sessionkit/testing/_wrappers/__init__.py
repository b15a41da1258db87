"""What wrappers around storages must keep to."""
