"""What a search costs: records of measured runs beside published figures."""
