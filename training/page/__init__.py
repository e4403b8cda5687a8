"""One page that tells a whole run: a file by itself, for a screen of any size, for paper and for the post."""
