"""A code cell without IPython's own syntax: magics become calls, as IPython itself has them."""

from __future__ import annotations

import ast
import re

# Cell magics whose text is no code of the notebook; that of any other (%%time, %%capture) is.
OTHER_LANGUAGES = frozenset(
    "bash sh script perl ruby cmd html HTML javascript js latex markdown svg SVG system sx timeit "
    "writefile file".split()
)
CELL_MAGIC = re.compile(r"\A(\s*)%%(\w+|!)([^\n]*)(\n|\Z)")
TIMED_STATEMENT = re.compile(r"^([ \t]*)%time[ \t]+(?=\S)", re.MULTILINE)


def plain_python(source: str) -> str:
    """`source` as Python with as many lines, or what Python and IPython cannot read, as it is.

    >>> plain_python("%%time\\nx = 1\\n!ls")
    "\\nx = 1\\nget_ipython().system('ls')\\n"
    """
    while magic := CELL_MAGIC.match(source):
        blank, name, rest, end = magic.groups()
        body = source[magic.end() :]
        if name in OTHER_LANGUAGES:
            call = f"get_ipython().run_cell_magic({name!r}, {rest.strip()!r}, {body!r})"
            return blank + call
        source = blank + end + body
    if _is_python(source):
        return source
    from IPython.core.inputtransformer2 import TransformerManager

    code = source.lstrip("\n")
    statements = TIMED_STATEMENT.sub(r"\1", code)  # which bind names, unlike a call of a magic
    return "\n" * (len(source) - len(code)) + TransformerManager().transform_cell(statements)


def _is_python(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True
