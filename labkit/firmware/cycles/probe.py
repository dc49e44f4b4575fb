"""A program that runs operators one after another, each once, to count what the engine executes.

What the engine executes for an operator depends on its shapes, not on values: so all weights and
maps are one memory, whatever lies there. Only the factors are such as networks have them, since
kernels shift to the left or to the right by them.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.firmware.c_source import convolution_structure, definition
from labkit.firmware.integers import factor
from labkit.firmware.layers import Layer, MeanLayer, ProductLayer, SumLayer
from labkit.firmware.memory import TABLED, layer_bytes
from labkit.firmware.plan import kernel_function, scratch_bytes
from labkit.space.operators import Operator

ARRAYS = {
    "weights": "(const int8_t *)memory",
    "bias": "memory",
    "multiplier": "memory",
    "exponent": "exponents",
}
HEADER = """\
#include <stdint.h>
#define NET_LAYERS {layers}
#define NET_SIDE 1
#define NET_CHANNELS 1
#define NET_CLASSES 1
int8_t *net_input(void);
void net_read_pixels(const uint8_t *pixels, int8_t *in);
void net_run(const int8_t *in, int8_t *out);
"""
SOURCE = """\
#include "net.h"
#include "net_kernels.h"

static int32_t memory[{words}];
static const int8_t exponents[{filters}] = {{ {exponents} }};

int8_t *net_input(void) {{ return (int8_t *)memory; }}

void net_read_pixels(const uint8_t *pixels, int8_t *in) {{ (void)pixels, (void)in; }}

{definitions}
void net_run(const int8_t *in, int8_t *out) {{
    int8_t *const map = (int8_t *)memory;
    (void)in, (void)out;
{calls}}}
"""
EXPONENT = -8  # of a convolution's factors


def probe_sources(operators: Sequence[Operator]) -> dict[str, str]:
    """net.h and net.c, to be compiled with the engine."""
    filters = max((operator.filters for operator in operators), default=0) + 4
    words = max(map(_memory_bytes, operators)) // 4 + 1
    source = SOURCE.format(
        words=words,
        filters=filters,
        exponents=", ".join([str(EXPONENT)] * filters),
        definitions="\n".join(_definition(op, f"layer{i}") for i, op in enumerate(operators)),
        calls="".join(_call(op, i) for i, op in enumerate(operators)),
    )
    return {"net.h": HEADER.format(layers=len(operators)), "net.c": source}


def _memory_bytes(operator: Operator) -> int:
    """Bytes of the largest of its maps, tables and scratch memory."""
    return max(operator.inputs, operator.outputs, scratch_bytes(operator), layer_bytes(operator))


def _definition(operator: Operator, name: str) -> str:
    if operator.weight_shape:
        table = {"activation": ARRAYS["weights"]} if operator.act in TABLED else {}
        return convolution_structure(operator, name, ARRAYS | table, (0, 0))
    return definition(_layer(operator), name)


def _layer(operator: Operator) -> Layer:
    """A layer without weights, with factors as networks have them."""
    limits = (-128, 127)
    if operator.kind == "pool":
        return MeanLayer(operator, factor(1 / operator.side**2), 0, 0)
    if operator.kind == "scale":
        return ProductLayer(operator, factor(1 / 128), 0, 0, 0, limits)
    factors = factor(0.5), factor(0.4), factor(2.0**-19)
    return SumLayer(operator, factors, (0, 0), 0, limits)


def _call(operator: Operator, number: int) -> str:
    maps = ["map"] * (3 if operator.kind in ("add", "scale") else 2)
    scratch = ["memory"] if scratch_bytes(operator) else []
    arguments = ", ".join([f"&layer{number}", *maps, *scratch])
    return f"    {kernel_function(operator)}({arguments});\n    NET_DONE({number});\n"
