"""The pytest plugin (written last)."""
