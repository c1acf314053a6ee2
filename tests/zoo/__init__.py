"""Planted bugs: implementations that look right and are not. Each must be found, and the story must name the cause."""
