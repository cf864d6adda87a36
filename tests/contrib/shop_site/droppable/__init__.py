"""SQLite, but it can tell that its connection is gone, as databases over a network can."""
