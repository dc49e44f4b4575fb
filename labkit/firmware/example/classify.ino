// Classifies one image, and compares the logits with those that the network had when it was made.
#include <net.h>

#include "sample.h"

void setup() {
    Serial.begin(115200);
}

void loop() {
    int8_t logits[NET_CLASSES];
    net_read_pixels(sample_pixels, net_input());
    const unsigned long begin = micros();
    net_run(net_input(), logits);
    const unsigned long end = micros();
    int differences = 0;
    for (int i = 0; i < NET_CLASSES; i++) differences += logits[i] != sample_logits[i];
    Serial.print(net_class_names[net_best(logits)]);
    Serial.print(differences ? ", wrong logits, " : ", ");
    Serial.print(end - begin);
    Serial.println(" us");
    delay(1000);
}
