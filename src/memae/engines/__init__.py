"""Other engines than torch: a scorer as a graph (`graphs`), and what runs it (`runtimes`)."""
