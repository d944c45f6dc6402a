"""What `reproduction` and `measurements` share: jobs that run once, their records, and the command line of both.

It knows no table, no data set and no method.
"""
