"""Tests of what operators see and do, against real servers."""
