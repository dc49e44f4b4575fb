#include "net_kernels.h"

/* Cores with the DSP extension multiply two pairs of 16-bit numbers and add both products in one
 * instruction. Everywhere else the same is computed number by number. */
#if defined(__ARM_FEATURE_DSP) && defined(__GNUC__) && !defined(NET_PORTABLE)
#define NET_DSP 1
#include <arm_acle.h>
#define UNROLL _Pragma("GCC unroll 4")
#else
#define NET_DSP 0
#endif

#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

/* These few loops are where the time goes; the rest of a program may be compiled for its size. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#pragma GCC optimize("O3", "no-tree-loop-distribute-patterns", "no-schedule-insns")
#endif

/* ---- from 32-bit sums to 8 bits -------------------------------------------------------------- */

/* x * multiplier / 2^31, rounded to nearest with halves upwards. |x| is below 2^30. */
INLINE int32_t high_product(int32_t x, int32_t multiplier) {
#if NET_DSP
    int32_t result; /* ACLE has no intrinsic for it: the upper half of a product, rounded */
    __asm__("smmulr %0, %1, %2" : "=r"(result) : "r"(x * 2), "r"(multiplier));
    return result;
#else
    return (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31);
#endif
}

/* A factor, and what a shift to the right takes besides the number itself. */
typedef struct {
    int32_t multiplier, exponent;
    int32_t half, shift; /* of a negative exponent */
} scale;

INLINE scale scale_of(int32_t multiplier, int32_t exponent) {
    const int32_t shift = exponent < 0 ? -exponent : 1;
    const scale result = {multiplier, exponent, 1 << (shift - 1), shift};
    return result;
}

/* x * multiplier * 2^(exponent - 31). The product is rounded first; the shift to the right that a
 * negative exponent is rounds again, halves away from zero. */
INLINE int32_t shifted(int32_t product, scale s) {
    return (product + s.half + (product >> 31)) >> s.shift;
}

INLINE int32_t rescale(int32_t x, scale s) {
    if (s.exponent >= 0)
        return high_product(x * (1 << s.exponent), s.multiplier);
    return shifted(high_product(x, s.multiplier), s);
}

/* The nearest of -128 to 127. */
INLINE int32_t saturate(int32_t x) {
#if NET_DSP
    return __ssat(x, 8);
#else
    x = x < -128 ? -128 : x;
    return x > 127 ? 127 : x;
#endif
}

INLINE int8_t clamp(int32_t x, int32_t low, int32_t high) {
    x = x < low ? low : x;
    return (int8_t)(x > high ? high : x);
}

/* How the results of a convolution become 8-bit numbers. A copy of what the layer says: whatever is
 * written through a pointer to bytes may change the layer itself, as far as a compiler knows. */
typedef struct {
    int32_t zero;
    const int8_t *activation; /* of 0, if there is one */
} ending;

INLINE ending ending_of(const net_convolution *layer) {
    const int8_t *activation = layer->activation ? layer->activation + 128 : 0;
    const ending result = {layer->out_zero, activation};
    return result;
}

/* Turn `count` sums of one output channel into 8-bit numbers, in place. The branches are taken once
 * for all of them. */
INLINE void finish(ending end, int32_t multiplier, int32_t exponent, int32_t *sums, int32_t count) {
    const scale s = scale_of(multiplier, exponent);
    if (exponent < 0) {
        for (int32_t i = 0; i < count; i++)
            sums[i] = shifted(high_product(sums[i], s.multiplier), s);
    } else {
        for (int32_t i = 0; i < count; i++)
            sums[i] = high_product(sums[i] * (1 << exponent), s.multiplier);
    }
    for (int32_t i = 0; i < count; i++)
        sums[i] = saturate(sums[i] + end.zero);
    if (end.activation)
        for (int32_t i = 0; i < count; i++)
            sums[i] = end.activation[sums[i]];
}

/* ---- dense and pointwise convolutions -------------------------------------------------------- */

#if NET_DSP
/* Two 16-bit numbers; the scratch memory that holds them is written number by number, too. */
typedef int32_t __attribute__((may_alias)) pair;

/* Bytes 0 and 2, or 1 and 3, of a word as a pair. */
INLINE pair even_bytes(int32_t word) { return __sxtb16(word); }
INLINE pair odd_bytes(int32_t word) {
    pair result; /* __sxtb16 of a rotated word, which it does in the same instruction */
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(result) : "r"(word));
    return result;
}
#endif

/* Write a patch of `length` values, a multiple of 4, as 16-bit pairs: the first of two columns
 * whose pairs take turns. */
static void widen(const int8_t *patch, int32_t length, int32_t *column) {
#if NET_DSP
    pair *pairs = (pair *)column;
    for (int32_t i = 0; i < length; i += 4, pairs += 4) {
        int32_t word;
        __builtin_memcpy(&word, patch + i, 4);
        pairs[0] = even_bytes(word);
        pairs[2] = odd_bytes(word);
    }
#else
    int16_t *values = (int16_t *)column;
    for (int32_t i = 0; i < length; i += 4, values += 8) {
        values[0] = patch[i];
        values[1] = patch[i + 2];
        values[4] = patch[i + 1];
        values[5] = patch[i + 3];
    }
#endif
}

/* Copy what the filter sees at output pixel (row, x) into `patch`, zeros of the map around it. */
static void copy_patch(const net_convolution *layer, const int8_t *in, int32_t row, int32_t x,
                       int8_t *patch) {
    const int32_t side = layer->side, channels = layer->in_channels, kernel = layer->kernel;
    const int32_t top = row * layer->stride - kernel / 2, start = x * layer->stride - kernel / 2;
    for (int32_t i = top; i < top + kernel; i++)
        for (int32_t j = start; j < start + kernel; j++, patch += channels) {
            const int inside = i >= 0 && i < side && j >= 0 && j < side;
            const int8_t *pixel = in + (i * side + j) * channels;
            for (int32_t c = 0; c < channels; c++)
                patch[c] = inside ? pixel[c] : layer->in_zero;
        }
}

/* Add to sums[2 * c + j] the products of filter c (of four) with column j (of two). */
INLINE void multiply_block(const int8_t *weights, const int32_t *columns, int32_t length,
                                  int32_t sums[8]) {
    int32_t a0 = sums[0], a1 = sums[1], b0 = sums[2], b1 = sums[3];
    int32_t c0 = sums[4], c1 = sums[5], d0 = sums[6], d1 = sums[7];
#if NET_DSP
    const pair *words = (const pair *)weights, *pairs = (const pair *)columns;
    const pair *end = pairs + length;
    do {
        UNROLL
        for (int32_t k = 0; k < 2; k++) {
            const pair first = *pairs++, second = *pairs++;
            int32_t word = *words++;
            pair filter = even_bytes(word);
            a0 = __smlad(first, filter, a0);
            a1 = __smlad(second, filter, a1);
            filter = odd_bytes(word);
            b0 = __smlad(first, filter, b0);
            b1 = __smlad(second, filter, b1);
            word = *words++;
            filter = even_bytes(word);
            c0 = __smlad(first, filter, c0);
            c1 = __smlad(second, filter, c1);
            filter = odd_bytes(word);
            d0 = __smlad(first, filter, d0);
            d1 = __smlad(second, filter, d1);
        }
    } while (pairs != end);
#else
    const int16_t *values = (const int16_t *)columns;
    for (int32_t i = 0; i < length; i += 2, values += 4, weights += 8)
        for (int32_t k = 0; k < 2; k++) {
            const int32_t first = values[k], second = values[2 + k];
            const int8_t *w = weights + 2 * k;
            a0 += first * w[0];
            a1 += second * w[0];
            b0 += first * w[1];
            b1 += second * w[1];
            c0 += first * w[4];
            c1 += second * w[4];
            d0 += first * w[5];
            d1 += second * w[5];
        }
#endif
    sums[0] = a0, sums[1] = a1, sums[2] = b0, sums[3] = b1;
    sums[4] = c0, sums[5] = c1, sums[6] = d0, sums[7] = d1;
}

/* Write what the filters of a block make of both columns; where `step` is 0, of the first alone. */
INLINE void write_block(ending end, const int32_t *multipliers, const int8_t *exponents,
                        int32_t sums[8], int32_t filters, int32_t step, int8_t *out) {
    for (int32_t f = 0; f < filters; f++) {
        finish(end, multipliers[f], exponents[f], &sums[2 * f], 2);
        out[step + f] = (int8_t)sums[2 * f + 1]; /* written over, if there is one pixel only */
        out[f] = (int8_t)sums[2 * f];
    }
}

/* Multiply all filters with both columns, and write `count` pixels: two, or the last one alone. */
INLINE void write_pixels(const net_convolution *layer, const int32_t *columns,
                                int32_t length, int32_t count, int8_t *out) {
    const int32_t channels = layer->out_channels, step = count == 2 ? channels : 0;
    const int8_t *weights = layer->weights, *exponents = layer->exponent;
    const int32_t *bias = layer->bias, *multipliers = layer->multiplier;
    const ending end = ending_of(layer);
    for (int32_t c = 0; c < channels; c += 4, weights += 4 * length, bias += 4) {
        int32_t sums[8] = {bias[0], bias[0], bias[1], bias[1], bias[2], bias[2], bias[3], bias[3]};
        multiply_block(weights, columns, length, sums);
        if (channels - c >= 4)
            write_block(end, &multipliers[c], &exponents[c], sums, 4, step, out + c);
        else
            write_block(end, &multipliers[c], &exponents[c], sums, channels - c, step, out + c);
    }
}

void net_convolve_pixels(const net_convolution *layer, const int8_t *in, int8_t *out,
                         int32_t *scratch) {
    const int32_t pixels = layer->out_side * layer->out_side, length = layer->in_channels;
    const int32_t channels = layer->out_channels;
    for (int32_t pixel = 0; pixel < pixels; pixel += 2, in += 2 * length, out += 2 * channels) {
        const int32_t count = pixel + 1 < pixels ? 2 : 1;
        widen(in, length, scratch);
        widen(count == 2 ? in + length : in, length, scratch + 1);
        write_pixels(layer, scratch, length, count, out);
    }
}

void net_convolve(const net_convolution *layer, const int8_t *in, int8_t *out, int32_t *scratch) {
    const int32_t pixels = layer->out_side * layer->out_side, channels = layer->out_channels;
    const int32_t values = layer->kernel * layer->kernel * layer->in_channels;
    const int32_t length = (values + 3) / 4 * 4;
    int8_t *patch = (int8_t *)(scratch + length); /* behind the two columns */
    for (int32_t i = values; i < length; i++)
        patch[i] = 0;
    int32_t row = 0, x = 0;
    for (int32_t pixel = 0; pixel < pixels; pixel += 2, out += 2 * channels) {
        const int32_t count = pixel + 1 < pixels ? 2 : 1;
        for (int32_t j = 0; j < 2; j++) {
            if (j < count)
                copy_patch(layer, in, row, x, patch);
            widen(patch, length, scratch + j);
            if (++x == layer->out_side)
                x = 0, row++;
        }
        write_pixels(layer, scratch, length, count, out);
    }
}

/* ---- depthwise convolutions ------------------------------------------------------------------ */

/* Add to `sums` a filter's products for four outputs that are neighbors in a row. `plane` points at
 * the first pixel that the first of them sees, rows of the plane are `width` apart. */
INLINE void filter_plane(const int16_t *plane, int32_t width, const int32_t *filter,
                                int32_t kernel, int32_t stride, int32_t sums[4]) {
    int32_t s0 = sums[0], s1 = sums[1], s2 = sums[2], s3 = sums[3];
#if NET_DSP
    /* A row of the filter is a number of pairs, and once more the same shifted by one pixel: at
     * stride 1 two neighbors then read the same words, the second with the shifted pairs. */
    const int32_t pairs = kernel / 2 + 1;
    const pair *row = (const pair *)plane, *weights = (const pair *)filter;
    for (int32_t i = 0; i < kernel; i++, row += width / 2, weights += 2 * pairs) {
        pair x0 = row[0], x1 = row[1], x2 = row[2];
        if (stride == 1) {
            UNROLL
            for (int32_t t = 0; t < pairs; t++) {
                s0 = __smlad(x0, weights[t], s0);
                s1 = __smlad(x0, weights[pairs + t], s1);
                s2 = __smlad(x1, weights[t], s2);
                s3 = __smlad(x1, weights[pairs + t], s3);
                x0 = x1;
                x1 = row[t + 2];
            }
        } else {
            UNROLL
            for (int32_t t = 0; t < pairs; t++) {
                const pair x3 = row[t + 3];
                s0 = __smlad(x0, weights[t], s0);
                s1 = __smlad(x1, weights[t], s1);
                s2 = __smlad(x2, weights[t], s2);
                s3 = __smlad(x3, weights[t], s3);
                x0 = x1, x1 = x2, x2 = x3;
            }
        }
    }
#else
    const int8_t *weights = (const int8_t *)filter;
    for (int32_t i = 0; i < kernel; i++, plane += width)
        for (int32_t j = 0; j < kernel; j++) {
            const int32_t weight = *weights++;
            const int16_t *x = plane + j;
            s0 += weight * x[0];
            s1 += weight * x[stride];
            s2 += weight * x[2 * stride];
            s3 += weight * x[3 * stride];
        }
#endif
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

#if NET_DSP
/* Write a filter's rows as pairs, and once more shifted by one pixel. */
static void pair_filter(const int8_t *weights, int32_t kernel, int32_t *filter) {
    int16_t *values = (int16_t *)filter;
    for (int32_t i = 0; i < kernel; i++) {
        for (int32_t j = 0; j < kernel; j++)
            *values++ = weights[j];
        *values++ = 0;
        *values++ = 0;
        for (int32_t j = 0; j < kernel; j++)
            *values++ = *weights++;
    }
}
#endif

/* The outputs of one channel, from its plane. */
INLINE void convolve_plane(const net_convolution *layer, const int16_t *plane, int32_t width,
                                  const int32_t *filter, int32_t kernel, int32_t stride,
                                  int32_t channel, int8_t *out) {
    const int32_t side = layer->out_side, channels = layer->out_channels;
    const int32_t bias = layer->bias[channel];
    const int32_t multiplier = layer->multiplier[channel], exponent = layer->exponent[channel];
    const ending end = ending_of(layer);
    out += channel;
    for (int32_t row = 0; row < side; row++, plane += stride * width)
        for (int32_t x = 0; x < side; x += 4) {
            int32_t sums[4] = {bias, bias, bias, bias};
            filter_plane(plane + x * stride, width, filter, kernel, stride, sums);
            finish(end, multiplier, exponent, sums, 4);
            const int32_t count = side - x < 4 ? side - x : 4;
            for (int32_t j = 0; j < count; j++, out += channels)
                *out = (int8_t)sums[j];
        }
}

INLINE void convolve_planes(const net_convolution *layer, const int8_t *in, int8_t *out,
                                   int32_t *scratch, int32_t kernel, int32_t stride) {
    const int32_t side = layer->side, padding = kernel / 2;
    const int32_t channels = layer->in_channels, copies = layer->out_channels / channels;
    const int32_t rows = (layer->out_side - 1) * stride + kernel;
    /* Room for a multiple of four outputs, even so that every row begins with a whole pair. */
    const int32_t width = (((layer->out_side + 3) / 4 * 4 - 1) * stride + kernel + 2) / 2 * 2;
    int16_t *plane = (int16_t *)scratch;
    for (int32_t i = 0; i < rows * width; i++)
        plane[i] = layer->in_zero;
    /* A stride of 2 may pass over the last row and column. */
    const int32_t seen = side + padding < rows ? side : rows - padding;
    for (int32_t c = 0; c < channels; c++) {
        for (int32_t i = 0; i < seen; i++) {
            const int8_t *pixel = in + i * side * channels + c;
            int16_t *values = plane + (i + padding) * width + padding;
            for (int32_t j = 0; j < side; j++, pixel += channels)
                *values++ = *pixel;
        }
        for (int32_t channel = c * copies; channel < (c + 1) * copies; channel++) {
            const int8_t *weights = layer->weights + channel * kernel * kernel;
#if NET_DSP
            int32_t *filter = scratch + rows * width / 2;
            pair_filter(weights, kernel, filter);
#else
            const int32_t *filter = (const int32_t *)(const void *)weights;
#endif
            convolve_plane(layer, plane, width, filter, kernel, stride, channel, out);
        }
    }
}

/* The same code, compiled for the kernels and strides that are common. */
#define PLANES(kernel, stride)                                                                     \
    void net_convolve_planes_##kernel##_##stride(const net_convolution *layer, const int8_t *in,   \
                                                 int8_t *out, int32_t *scratch) {                  \
        convolve_planes(layer, in, out, scratch, kernel, stride);                                  \
    }

PLANES(3, 1)
PLANES(3, 2)
PLANES(5, 1)
PLANES(5, 2)
PLANES(7, 1)
PLANES(7, 2)

void net_convolve_planes(const net_convolution *layer, const int8_t *in, int8_t *out,
                         int32_t *scratch) {
    convolve_planes(layer, in, out, scratch, layer->kernel, layer->stride);
}

/* ---- layers without weights ------------------------------------------------------------------ */

void net_average(const net_mean *layer, const int8_t *in, int8_t *out) {
    const net_mean l = *layer;
    const scale s = scale_of(l.factor.multiplier, l.factor.exponent);
    for (int32_t c = 0; c < l.channels; c++) {
        const int8_t *value = in + c;
        int32_t sum = -l.pixels * l.in_zero;
        for (int32_t i = 0; i < l.pixels; i++, value += l.channels)
            sum += *value;
        out[c] = (int8_t)saturate(rescale(sum, s) + l.out_zero);
    }
}

void net_multiply(const net_product *layer, const int8_t *map, const int8_t *gate, int8_t *out) {
    const net_product l = *layer;
    const scale s = scale_of(l.factor.multiplier, l.factor.exponent);
    for (int32_t c = 0; c < l.channels; c++) {
        const int32_t factor = gate[c] - l.gate_zero;
        for (int32_t i = c; i < l.pixels * l.channels; i += l.channels)
            out[i] = clamp(rescale((map[i] - l.map_zero) * factor, s) + l.out_zero, l.low, l.high);
    }
}

void net_add(const net_sum *layer, const int8_t *first, const int8_t *second, int8_t *out) {
    const net_sum l = *layer;
    const scale s = scale_of(l.first.multiplier, l.first.exponent);
    const scale t = scale_of(l.second.multiplier, l.second.exponent);
    const scale u = scale_of(l.factor.multiplier, l.factor.exponent);
    for (int32_t i = 0; i < l.values; i++) {
        const int32_t x = (first[i] - l.first_zero) * (1 << 20);
        const int32_t y = (second[i] - l.second_zero) * (1 << 20);
        const int32_t z = rescale(rescale(x, s) + rescale(y, t), u);
        out[i] = clamp(z + l.out_zero, l.low, l.high);
    }
}
