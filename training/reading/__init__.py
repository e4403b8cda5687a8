"""What a run's folder says to whoever only reads it: no run, no torch, and of any version. Nothing here writes."""
