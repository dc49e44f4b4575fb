"""Program slices: which statements a function needs, told from the text. Nothing runs here.

plain_python     a code cell without IPython's own syntax
cell_statements  a code cell as its top-level statements, and what each does to global names
notebook_slice   the part of a notebook that a function needs
module_slice     the part of a module that a function needs
"""
