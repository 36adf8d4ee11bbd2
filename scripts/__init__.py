"""What is run by hand or by the tests and is no part of the product: `engines`, and `setup` for .venv."""
