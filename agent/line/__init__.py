"""The line: who answers a ringing call, and what its caller meets whenever something ends, fails or is full."""
