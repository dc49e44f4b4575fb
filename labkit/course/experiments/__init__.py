"""What the notebooks try out: copies of supernets, races of recipes, forms of a deployed subnet."""
