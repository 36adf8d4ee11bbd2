"""Due: clock, bus and tables -> the days that need care now."""
