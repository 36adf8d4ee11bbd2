"""Demo: a small shop, the platform on a temporary folder, and questions with known answers."""
