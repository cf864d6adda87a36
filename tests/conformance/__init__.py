"""The same tests of store, fetchers and connections against every server that jobd supports."""
