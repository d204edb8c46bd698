"""The `fastaudio-norm` command line."""
