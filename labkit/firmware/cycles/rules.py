"""Cycles of instructions by the tables of Arm's technical reference manuals.

Cortex-M3 (DDI 0337, section 18.1) and Cortex-M4 (DDI 0439, section 3.3) take one cycle for an
instruction, with these exceptions:

- a load takes two, and one where it follows another load, since their phases overlap; a store takes
  one, as the write buffer takes it;
- loads and stores of N registers take 1 + N;
- a branch that is taken takes P more, which refill the pipeline: 1 to 3 by the target's width and
  alignment; 2 is counted. A table branch reads its table first;
- a division takes 2 to 12 by its operands; 12 is counted;
- multiply-adds and products of 64 bits take one cycle on Cortex-M4. On Cortex-M3 the first take two
  and the others 3 to 7 by their operands; the most is counted.

Memory is taken to answer at once: the wait states of a real flash are for a board's own factor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

REFILL = 2  # P
REGISTERS = ("r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 r10 r11 r12 sp lr pc").split()
ALIASES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12"}
LOAD = re.compile(r"ldr(b|h|sb|sh)?t?$")
PAIR = re.compile(r"(ldr|str)d$")
MULTIPLE = re.compile(r"(push|pop|ldm|stm)(ia|db|fd|ea)?$")
CONDITION = re.compile(r"(eq|ne|hs|lo|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)$")


class Instruction(NamedTuple):
    """One instruction as a disassembler writes it.

    >>> Instruction("ldr.w", "r0, [r1]").base, Instruction("strhne", "r0, [r1]").base
    ('ldr', 'strh')
    """

    mnemonic: str
    operands: str

    @property
    def base(self) -> str:
        """The mnemonic without its width and, where it accesses memory, its condition."""
        name = self.mnemonic.partition(".")[0]
        accesses = name.startswith(("ldr", "str", "push", "pop", "ldm", "stm"))
        return CONDITION.sub("", name) if accesses else name

    @property
    def loads(self) -> bool:
        """Whether it loads one register."""
        return LOAD.match(self.base) is not None


class Rules(NamedTuple):
    """What differs between the cores."""

    multiply_add: int  # mla, mls
    long_product: int  # smull, umull
    long_multiply_add: int  # smlal, umlal


RULES = {"cortex-m3": Rules(2, 5, 7), "cortex-m4": Rules(1, 1, 1)}


def cycles(rules: Rules, instructions: Sequence[Instruction]) -> int:
    """Cycles of instructions one after another, without REFILL for a branch at their end.

    >>> loads = [Instruction("ldr", "r0, [r2]"), Instruction("ldr", "r1, [r3]")]
    >>> cycles(RULES["cortex-m4"], loads)
    3
    >>> cycles(RULES["cortex-m4"], [Instruction("pop", "{r4-r7, pc}")])
    6
    """
    total, after_load = 0, False
    for instruction in instructions:
        total += _cycles(rules, instruction.base, instruction.operands)
        total += instruction.loads and not after_load
        after_load = instruction.loads
    return total


def _cycles(rules: Rules, base: str, operands: str) -> int:
    """Cycles of one instruction whose neighbors do not matter."""
    if MULTIPLE.match(base):
        return 1 + register_count(operands)
    if PAIR.match(base):
        return 3
    if base in ("tbb", "tbh"):
        return 2
    if base in ("sdiv", "udiv"):
        return 12
    if base in ("mla", "mls"):
        return rules.multiply_add
    if base in ("smull", "umull"):
        return rules.long_product
    if base in ("smlal", "umlal"):
        return rules.long_multiply_add
    return 1


def register_count(operands: str) -> int:
    """Number of registers in a list.

    >>> register_count("{r4, r5, r6, lr}"), register_count("r0!, {r4-r7, fp}")
    (4, 5)
    """
    count = 0
    for part in operands.partition("{")[2].partition("}")[0].split(","):
        first, _, last = part.strip().partition("-")
        numbers = [REGISTERS.index(ALIASES.get(name, name)) for name in (first, last or first)]
        count += numbers[1] - numbers[0] + 1
    return count
