"""Due: clock, bus and tables -> the days that need upkeep now."""
