"""What notebooks use: pictures, checks, widgets."""
