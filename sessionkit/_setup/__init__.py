"""What users make at set-up: options in, ``Sessions`` out, and all that these can do."""
