"""Correct programs: none of them may ever be accused. A false alarm is as bad as a missed bug."""
