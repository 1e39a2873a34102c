/* The sequential twin of pingpong.orca: both players in one loop. It shows what the work costs without the communication. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int32_t there, back;

int main(int argc, char **argv)
{
    int32_t rounds = argc > 1 ? atoi(argv[1]) : 1000;
    int32_t n = 0;
    for (int32_t i = 1; i <= rounds; i++) {
        there = n;
        back = there + 1;
        n = back;
    }
    printf("%d rounds, ball %d\n", rounds, n);
    return 0;
}
