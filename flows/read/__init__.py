"""Read: a partition of the bus -> arrivals, from the place where the stores stand."""
