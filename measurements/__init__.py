"""Measurements on real data; they import memae, never the reverse."""
