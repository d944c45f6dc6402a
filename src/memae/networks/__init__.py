"""Encoders and decoders; the paper's four layouts as named constants."""
