"""pytest-ciris-occ: N real processes, one real SQL database, exactly one decision."""
