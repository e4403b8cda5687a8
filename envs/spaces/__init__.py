"""From what an environment observes and takes to what a model sees and says: keys, observations, pictures, actions."""
