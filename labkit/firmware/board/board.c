/* Runs a network on an emulated board and measures it.
 *
 * Images come from the file images.bin in the emulator's folder, bytes as net_read_pixels takes
 * them. Written are logits.bin, int8, and counts.bin, words of 64 bits: the ticks that a call of the
 * hook takes; for every image the ticks of each layer, with one such call; the bytes of stack that
 * net_run took at most. Files and the end of the program go through Arm's semihosting, which
 * emulators and debuggers offer. Time is that of a timer of the board, which the emulator moves on
 * by a fixed amount with every instruction. Its 32 bits go round every 172 seconds; how often they
 * did, a counter of seconds says.
 */
#include <stdint.h>

#include "board.h"
#include "net.h"

#define TIMER ((volatile uint32_t *)0x40000000) /* a CMSDK APB timer: control, value, reload */
#define SECONDS (*(volatile uint32_t *)0x40028010)
#define TICKS_A_SECOND 25000000u
#define FILL 0xA5A5A5A5u

enum { SYS_OPEN = 1, SYS_CLOSE = 2, SYS_WRITE = 5, SYS_READ = 6, SYS_EXIT = 0x18 };
enum { READ_BINARY = 1, WRITE_BINARY = 5 };

extern uint32_t stack_begin[], stack_end[], net_data_begin[], net_data_end[];

int main(void);

static intptr_t semihosting(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void finish(int failed) {
    /* The reason: the application ended, or it met a run-time error. */
    semihosting(SYS_EXIT, (const void *)(intptr_t)(failed ? 0x20023 : 0x20026));
    for (;;)
        ;
}

static void fault(void) { finish(1); }

void reset(void);
void reset(void) {
    for (uint32_t *word = net_data_begin; word < net_data_end; word++)
        *word = 0;
    finish(main());
}

typedef void (*handler)(void);
__attribute__((section(".vectors"), used)) static const handler vectors[16] = {
    (handler)(void *)stack_end, reset, fault, fault, fault, fault, fault, fault,
    fault, fault, fault, fault, fault, fault, fault, fault,
};

static int open_file(const char *name, int length, int mode) {
    const intptr_t arguments[] = {(intptr_t)name, mode, length};
    return (int)semihosting(SYS_OPEN, arguments);
}

/* Bytes that were not read or written. */
static int transfer(int operation, int file, const void *data, int bytes) {
    const intptr_t arguments[] = {file, (intptr_t)data, bytes};
    return (int)semihosting(operation, arguments);
}

static uint64_t ticks[NET_LAYERS + 1];

static uint64_t now(void) {
    const uint64_t about = (uint64_t)SECONDS * TICKS_A_SECOND;
    return about + (int32_t)(~TIMER[1] - (uint32_t)about); /* the timer counts down */
}

__attribute__((noinline)) void board_layer_done(int layer) { ticks[layer + 1] = now(); }

int main(void) {
    static int8_t logits[NET_CLASSES];
    const int images = open_file("images.bin", 10, READ_BINARY);
    const int outputs = open_file("logits.bin", 10, WRITE_BINARY);
    const int counts = open_file("counts.bin", 10, WRITE_BINARY);
    if (images < 0 || outputs < 0 || counts < 0)
        return 1;
    TIMER[2] = TIMER[1] = 0xFFFFFFFFu;
    TIMER[0] = 1;
    /* Between two calls of the hook lies nothing but the call itself. */
    board_layer_done(-1);
    board_layer_done(0);
    const uint64_t call = ticks[1] - ticks[0];
    if (transfer(SYS_WRITE, counts, &call, sizeof call))
        return 1;
    /* What lies below the stack pointer is free: fill it, and see later how far it was used. */
    uint32_t *top;
    __asm__ volatile("mov %0, sp" : "=r"(top));
    for (uint32_t *word = stack_begin; word < top; word++)
        *word = FILL;
    while (!transfer(SYS_READ, images, net_input(), NET_SIDE * NET_SIDE * NET_CHANNELS)) {
        net_read_pixels((const uint8_t *)net_input(), net_input());
        board_layer_done(-1);
        net_run(net_input(), logits);
        for (int i = 1; i <= NET_LAYERS; i++)
            ticks[i - 1] = ticks[i] - ticks[i - 1];
        if (transfer(SYS_WRITE, outputs, logits, NET_CLASSES) ||
            transfer(SYS_WRITE, counts, ticks, NET_LAYERS * sizeof *ticks))
            return 1;
    }
    const uint32_t *used = stack_begin;
    while (used < top && *used == FILL)
        used++;
    const uint64_t stack = (uint64_t)((const char *)top - (const char *)used);
    if (transfer(SYS_WRITE, counts, &stack, sizeof stack))
        return 1;
    const intptr_t files[] = {images, outputs, counts};
    for (int i = 0; i < 3; i++)
        semihosting(SYS_CLOSE, &files[i]);
    return 0;
}
