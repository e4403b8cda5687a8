"""`tandem compare`: what runs reached for what they cost. It reads folders, and knows no live run."""
