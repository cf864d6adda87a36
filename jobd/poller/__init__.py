"""The poller: what an instance does besides running jobs. It runs no code of the app."""
