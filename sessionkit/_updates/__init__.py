"""Chat, user and topic of any framework's update."""
