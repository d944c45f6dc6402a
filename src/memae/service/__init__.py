"""Detectors over HTTP: batches of many requests, limits, metrics, and a page to drop files on."""
