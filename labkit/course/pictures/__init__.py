"""Pictures for notebooks and documents. Each function returns a matplotlib figure."""
