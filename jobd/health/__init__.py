"""What probes and Prometheus ask an instance over HTTP: /livez, /readyz, /metrics.

Served by a thread of the poller (`listener`), from memory that all processes share (`answers`,
`figures`), so neither Redis nor a job can delay an answer, and no visitor the poller.
"""
