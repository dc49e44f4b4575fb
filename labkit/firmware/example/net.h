/* A network that labkit generated: $title.
 *
 * Put an image into net_input(), or anywhere else, as $side x $side pixels of $channels channel(s), row by
 * row, int8; net_read_pixels makes it from bytes. Then
 *
 *     int8_t logits[NET_CLASSES];
 *     net_run(net_input(), logits);
 *
 * The largest logit is the class. All memory is one static array of NET_ARENA_BYTES; net_input()
 * lies in it and is written over. Call net_run from one thread at a time.
 */
#ifndef NET_H
#define NET_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NET_ARENA_BYTES $arena
#define NET_LAYERS $layers
#define NET_SIDE $side
#define NET_CHANNELS $channels
#define NET_CLASSES $classes

/* An input integer q stands for NET_INPUT_SCALE * (q - NET_INPUT_ZERO), which is a channel of a
 * pixel in 0 to 1, less its mean and divided by its standard deviation. */
#define NET_INPUT_SCALE $input_scale
#define NET_INPUT_ZERO ($input_zero)
#define NET_MEAN {$mean}
#define NET_STD {$std}

/* A logit q stands for NET_OUTPUT_SCALE * (q - NET_OUTPUT_ZERO). */
#define NET_OUTPUT_SCALE $output_scale
#define NET_OUTPUT_ZERO ($output_zero)

extern const char *const net_class_names[NET_CLASSES]; /* UTF-8 */

/* The input integer of every channel's values 0 to 255. */
extern const int8_t net_pixel[NET_CHANNELS][256];

/* Where an image may lie in the arena until net_run reads it. */
int8_t *net_input(void);

/* NET_SIDE x NET_SIDE pixels, channels last, as the network takes them. Both pointers may be one. */
void net_read_pixels(const uint8_t *pixels, int8_t *in);

/* Logits of an image. */
void net_run(const int8_t *in, int8_t *out);

/* The class of the largest logit. */
static inline int net_best(const int8_t *logits) {
    int best = 0;
    for (int i = 1; i < NET_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

#ifdef __cplusplus
}
#endif

#endif
