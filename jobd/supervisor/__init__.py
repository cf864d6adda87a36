"""The master of an instance and what it needs: it keeps processes running and knows nothing else.

It gets callables in a `Plan` and calls them in forked children. It reaches Redis by no path,
imports no application and starts no thread.
"""
