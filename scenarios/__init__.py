"""The scenario suite: situations that any implementation of shared tasks must survive.

Run it against your own with ``pytest --pyargs pytest_ciris_occ.scenarios --occ-target=MODULE:ATTR``.
"""
