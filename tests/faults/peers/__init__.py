"""What other job systems do under the same faults: ``python -m tests.faults.peers``."""
