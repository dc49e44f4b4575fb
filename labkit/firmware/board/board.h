/* What net.c calls after every layer when it is measured. */
#ifndef BOARD_H
#define BOARD_H
void board_layer_done(int layer);
#define NET_DONE(layer) board_layer_done(layer)
#endif
