"""Cycles of the engine's operators, by Arm's rules for the instructions that an emulator executes.

rules             cycles of instructions on Cortex-M3 and M4
trace             the basic blocks that a program executed, layer by layer, from QEMU's log
probe             a program that runs any operators once
operator_cycles   cycles of operators, each traced once on a machine
latency_table     a latency file of a space's blocks from these
"""
