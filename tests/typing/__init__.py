"""What type checkers say of calls to jobs."""
