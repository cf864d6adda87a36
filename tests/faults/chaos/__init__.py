"""``bin/chaos``: all faults mixed at random for as long as one likes, and the books at the end."""
