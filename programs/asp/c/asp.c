/* The sequential twin of asp.orca: the same matrix, loops and types. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int32_t *make_row(int32_t i, int32_t n)
{
    int32_t *row = malloc(((size_t)n + 1) * sizeof *row);
    int32_t seed = (int32_t)((uint32_t)(i * 7919 + 17) & 0x7fffffffu);
    for (int32_t j = 1; j <= n; j++) {
        seed = (int32_t)(((uint32_t)seed * 1103515245u + 12345u) & 0x7fffffffu);
        row[j] = 1 + (seed >> 8) % 10000;
    }
    row[i] = 0;
    return row;
}

static void relax(int32_t *row, const int32_t *pivot, int32_t distance, int32_t n)
{
    for (int32_t j = 1; j <= n; j++) {
        int32_t d = distance + pivot[j];
        if (d < row[j])
            row[j] = d;
    }
}

static int32_t mix(int32_t i, int32_t j, int32_t value)
{
    int32_t x = (int32_t)((uint32_t)(i * 40503 + j) * (uint32_t)-1640531535 ^ (uint32_t)value);
    x = (int32_t)((uint32_t)(x ^ (x >> 15)) * (uint32_t)-2048144789);
    return x ^ (x >> 13);
}

int main(int argc, char **argv)
{
    int32_t n = argc > 1 ? atoi(argv[1]) : 100;
    int32_t **rows = malloc(((size_t)n + 1) * sizeof *rows);
    uint32_t sum = 0;
    for (int32_t i = 1; i <= n; i++)
        rows[i] = make_row(i, n);
    for (int32_t k = 1; k <= n; k++)
        for (int32_t i = 1; i <= n; i++)
            if (i != k)
                relax(rows[i], rows[k], rows[i][k], n);
    for (int32_t i = 1; i <= n; i++)
        for (int32_t j = 1; j <= n; j++)
            sum += (uint32_t)mix(i, j, rows[i][j]);
    printf("%d nodes, checksum %d\n", n, (int32_t)sum);
    return 0;
}
