"""Moving pictures for a person: a film of an episode, and what the model dreams beside what was seen."""
