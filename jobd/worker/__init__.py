"""The worker: takes jobs from Redis, runs them one at a time, and settles each of them."""
