"""Accidents that a run has to survive, done to runs of a second or two: what reliability.py counts."""
