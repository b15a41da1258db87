"""The objects that users make at set-up: options in, ``Sessions`` out."""
