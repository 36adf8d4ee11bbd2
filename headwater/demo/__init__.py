"""Demo: a small shop, the platform on a temporary folder, and questions whose answers are known."""
