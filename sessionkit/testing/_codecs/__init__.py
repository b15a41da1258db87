"""What codecs must keep to."""
