"""Archive: closed days of the lake -> the archive's tables; every record is visible once at every instant."""
