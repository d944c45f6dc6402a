"""Speed: each section measures one row of the table in docs/speed.md, side by side with what it is compared with."""
