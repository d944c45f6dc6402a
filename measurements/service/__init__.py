"""The service under load: how much it answers, how soon, and what it does when it is asked for more."""
