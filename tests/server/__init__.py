"""The whole server, as an operator and a job see it: what the issue and the promises say."""
