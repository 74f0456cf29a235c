"""What happened on the calls."""
