"""Doctor: this machine, the data folder and the engines -> one verdict per check."""
