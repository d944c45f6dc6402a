"""The same samples of real data through every surface: how far their scores lie apart."""
