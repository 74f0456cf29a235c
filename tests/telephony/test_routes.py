"""The routes over real sockets, with a small handler that repeats the caller."""
