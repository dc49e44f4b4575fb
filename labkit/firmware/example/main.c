/* Classifies one image, and compares the logits with those that the network had when it was made. */
#include <stdio.h>

#include "net.h"
#include "sample.h"

int main(void) {
    int8_t logits[NET_CLASSES];
    int differences = 0;
    net_read_pixels(sample_pixels, net_input());
    net_run(net_input(), logits);
    for (int i = 0; i < NET_CLASSES; i++) {
        printf("%5d  %s\n", logits[i], net_class_names[i]);
        differences += logits[i] != sample_logits[i];
    }
    printf("class: %s, of the image: %s\n", net_class_names[net_best(logits)],
           net_class_names[SAMPLE_CLASS]);
    if (differences)
        printf("%d logits are not what they were when the network was made\n", differences);
    return differences != 0;
}
