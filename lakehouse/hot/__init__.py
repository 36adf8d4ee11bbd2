"""Hot stores: the two adapters of the port `contracts.hot.HotStore`."""
