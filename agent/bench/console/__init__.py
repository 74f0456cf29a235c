"""The console and the log at the size of a contact center: a made-up history of calls, and what its pages take."""
