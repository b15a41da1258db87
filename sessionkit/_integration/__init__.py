"""What ``install`` and ``with_session`` means, in any framework."""
