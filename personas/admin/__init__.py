"""The console: login, layout and the pages about personas."""
