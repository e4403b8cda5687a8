"""The policy and the reward model of a run, as files that need torch alone."""
