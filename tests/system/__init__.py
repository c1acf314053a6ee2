"""Tests of the whole: real fleets, real servers, real signals."""
