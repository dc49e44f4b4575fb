"""A kit that measures somebody's own board: packing it, its runner, importing what it wrote."""
