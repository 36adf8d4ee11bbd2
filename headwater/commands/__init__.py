"""Commands: one file for each command of `headwater`, or for each group of them."""
