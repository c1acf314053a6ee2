"""Who runs: occurrences as real processes, the zygote that forks them, the watchdog that ends them."""
