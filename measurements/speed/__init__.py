"""Speed: each section measures one row of the table in docs/speed.md together with its reference."""
