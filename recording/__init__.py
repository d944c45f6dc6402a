"""What `reproduction` and `measurements` share: runs that are done once, their records, and the commands for both.

It stands below both, so that neither needs the other for it; it knows no table, no data set and no method.
"""
