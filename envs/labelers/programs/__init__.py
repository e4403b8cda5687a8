"""Programs and servers that answer questions: JSON out, JSON in, and nothing of it is trusted."""
