"""The tests of jobd; a package, so that ``tests.support`` can be imported from anywhere."""
