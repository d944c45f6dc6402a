"""memae."""
