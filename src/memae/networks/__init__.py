"""Encoders and decoders; the paper's four as named constants."""
