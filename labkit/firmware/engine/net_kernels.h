/* The layers of an int8 network. Maps are rows of pixels, a pixel is its channels one after another.
 *
 * C11 without a heap, without a C library and without floating point. Every function may write its
 * output over its input as far as labkit's planner lets it; nothing is declared restrict for that.
 *
 * An integer q of a map with scale s and zero point z stands for s * (q - z). A sum is brought to
 * the scale of the output by an integer `multiplier` below 2^31 and an `exponent`:
 * factor = multiplier * 2^(exponent - 31).
 */
#ifndef NET_KERNELS_H
#define NET_KERNELS_H

#include <stdint.h>

typedef struct {
    int32_t multiplier;
    int32_t exponent;
} net_factor;

/* A convolution or a fully connected layer, with the activation that follows it. Weights of
 * net_convolve lie in blocks of four output channels A B C D; for two input values of a patch,
 * which are called a pair, a block holds A1 B1 A2 B2 C1 D1 C2 D2. Of four neighboring input values
 * the first and the third are a pair, and the second and the fourth. Weights of net_convolve_planes
 * lie channel by channel, each row by row. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias; /* for each output channel, less the input's zero point times its weights;
                          * of blocks, for all of their channels */
    const int32_t *multiplier; /* for each output channel */
    const int8_t *exponent;    /* for each output channel */
    const int8_t *activation;  /* the outputs of -128 to 127, or a null pointer */
    int16_t side, out_side;    /* pixels along an edge */
    int16_t in_channels, out_channels;
    int16_t kernel, stride;    /* the padding is kernel / 2 */
    int8_t in_zero, out_zero;
} net_convolution;

/* The mean of every channel over a map of `pixels`. */
typedef struct {
    net_factor factor; /* 1 / pixels included */
    int32_t pixels;
    int16_t channels;
    int8_t in_zero, out_zero;
} net_mean;

/* A map times one factor for each channel, which is another int8 tensor. */
typedef struct {
    net_factor factor;
    int32_t pixels;
    int16_t channels;
    int8_t map_zero, gate_zero, out_zero, low, high;
} net_product;

/* The sum of two maps. */
typedef struct {
    net_factor first, second, factor; /* of the inputs, shifted left by 20, and of their sum */
    int32_t values;
    int8_t first_zero, second_zero, out_zero, low, high;
} net_sum;

/* Dense convolutions. */
void net_convolve(const net_convolution *layer, const int8_t *in, int8_t *out, int32_t *scratch);

/* Pointwise convolutions and fully connected layers; input channels are a multiple of 4. */
void net_convolve_pixels(const net_convolution *layer, const int8_t *in, int8_t *out,
                         int32_t *scratch);

/* Depthwise convolutions: output channel c reads input channel c * in_channels / out_channels. The
 * first is for any kernel and stride, the others for those in their names. */
void net_convolve_planes(const net_convolution *layer, const int8_t *in, int8_t *out,
                         int32_t *scratch);
void net_convolve_planes_3_1(const net_convolution *, const int8_t *, int8_t *, int32_t *);
void net_convolve_planes_3_2(const net_convolution *, const int8_t *, int8_t *, int32_t *);
void net_convolve_planes_5_1(const net_convolution *, const int8_t *, int8_t *, int32_t *);
void net_convolve_planes_5_2(const net_convolution *, const int8_t *, int8_t *, int32_t *);
void net_convolve_planes_7_1(const net_convolution *, const int8_t *, int8_t *, int32_t *);
void net_convolve_planes_7_2(const net_convolution *, const int8_t *, int8_t *, int32_t *);

void net_average(const net_mean *layer, const int8_t *in, int8_t *out);
void net_multiply(const net_product *layer, const int8_t *map, const int8_t *gate, int8_t *out);
void net_add(const net_sum *layer, const int8_t *first, const int8_t *second, int8_t *out);

#endif
