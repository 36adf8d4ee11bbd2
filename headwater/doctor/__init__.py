"""Doctor: this machine, the data folder and the engines -> a verdict for every check."""
