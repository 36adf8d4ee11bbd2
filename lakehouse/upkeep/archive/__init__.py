"""Archive: closed days of the lake -> the archive's tables, each record visible once throughout."""
