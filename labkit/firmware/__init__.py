"""Firmware: a subnet as a C library, equal to TensorFlow Lite Micro to the bit.

    tflite_graph    the int8 model that `labkit.deploy.litert` makes, read
    layers          its layers as the engine runs them, with integers' arithmetic from `integers`
    plan            where every tensor lies in the arena
    c_source        the generated C, with weights as `packing` lays them
    library         the folder of files
    host_build      the library compiled and called here
    emulated_board  the library compiled for a microcontroller, run and measured
    deployment      all of it, in order

The arithmetic is in engine/, in C; board/ holds the program that is run on the emulated board, and
example/ the files that a library is given beside its code.
"""
