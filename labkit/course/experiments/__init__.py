"""What the notebooks try out: altered supernets, races of recipes, deployed forms, costs."""
