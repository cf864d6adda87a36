"""The pages, a file each: what it shows as a value, and what can be done on it."""
