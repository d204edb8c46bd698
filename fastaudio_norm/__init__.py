from fastaudio_norm import compat  # noqa: F401
