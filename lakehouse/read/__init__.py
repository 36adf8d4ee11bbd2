"""Read: the one door for questions -> hot store, lake and archive, each record once."""
