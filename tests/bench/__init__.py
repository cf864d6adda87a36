"""``bin/bench``: jobd beside the other Python systems and Ruby's Sidekiq, in one run.

It lives among the tests since it shares their support: real servers of its own on private ports,
processes on a leash. `side` says what takes part, `case` what is measured; neither knows the
other's instances.
"""
