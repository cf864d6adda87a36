"""What the tests stand on: real servers, a proxy that hurts, real jobd and Ruby processes.

Nothing here knows how jobd works inside; it is started, signalled and read from outside.
"""
