"""What a change would do to every stack of a fleet, for the person who reviews it."""
