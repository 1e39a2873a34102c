/* Makes the inputs of tsp: `generate N` prints the problem with N cities, which the folder keeps as tspN.
 *
 * The cities are points with whole coordinates 0 .. 999. The coordinates are x1 y1 x2 y2 .. = (s >> 16) mod 1000 for
 * s := (1103515245 * s + 12345) mod 2^31, starting with s = N. Distances are Euclidean, rounded to the nearest integer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned state;

static int coordinate(void)
{
    state = (1103515245u * state + 12345u) & 0x7fffffffu;
    return (int)(state >> 16) % 1000;
}

int main(int argc, char **argv)
{
    static int x[100], y[100];
    int n = argc == 2 ? atoi(argv[1]) : 0;
    if (n < 4 || n > 100) {
        fprintf(stderr, "usage: generate N, with N from 4 to 100\n");
        return 2;
    }
    state = (unsigned)n;
    for (int i = 0; i < n; i++) {
        x[i] = coordinate();
        y[i] = coordinate();
    }
    printf("%d\n", n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            printf("%d%c", (int)(hypot(x[i] - x[j], y[i] - y[j]) + 0.5), j == n - 1 ? '\n' : ' ');
    return 0;
}
