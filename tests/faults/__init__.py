"""The catalogue of faults: each is injected into a real jobd, and an audit follows.

The names of the tests are those of the table in docs/reliability.md: A processes, B jobs,
C payloads, D Redis, E the machine.
"""
