"""What a change would do to every stack of a fleet, for its reviewer."""
