"""The library, measured on real data: speed, service, parity, hostile files, false-alarm rates, quality."""
