/* The sequential twin of sor.imp: the same grid, order of updates and types. On a machine with fused multiply-add, compile
 * with -ffp-contract=off: Orca never fuses. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static const double tolerance = 0.0001;

static double boundary(int32_t i, int32_t j, int32_t rows, int32_t columns)
{
    if (i == 0)
        return 100.0;
    if (i == rows + 1)
        return 0.0;
    if (j == 0)
        return (double)(100 * (rows + 1 - i)) / (double)(rows + 1);
    if (j == columns + 1)
        return 50.0;
    return 0.0;
}

static double *make_row(int32_t i, int32_t rows, int32_t columns)
{
    double *row = malloc(((size_t)columns + 2) * sizeof *row);
    for (int32_t j = 0; j <= columns + 1; j++)
        row[j] = boundary(i, j, rows, columns);
    return row;
}

static double sweep(const double *above, double *row, const double *below, int32_t first, int32_t columns, double omega)
{
    double largest = 0.0;
    for (int32_t k = 0; k <= (columns - first + 2) / 2 - 1; k++) {
        int32_t j = first + 2 * k;
        double change = omega * ((above[j] + below[j] + row[j - 1] + row[j + 1]) * 0.25 - row[j]);
        row[j] = row[j] + change;
        if (change < 0.0)
            change = -change;
        if (change > largest)
            largest = change;
    }
    return largest;
}

static int32_t mix(int32_t x, int32_t value)
{
    int32_t y = (int32_t)((uint32_t)x * (uint32_t)-1640531535 ^ (uint32_t)value);
    y = (int32_t)((uint32_t)(y ^ (y >> 15)) * (uint32_t)-2048144789);
    return y ^ (y >> 13);
}

static int32_t mix_real(int32_t i, int32_t j, double value)
{
    double rest = value * 1048576.0;
    int32_t piece = (int32_t)rest;
    int32_t x = mix(i * 40503 + j, piece);
    rest = (rest - (double)piece) * 1073741824.0;
    piece = (int32_t)rest;
    x = mix(x, piece);
    rest = (rest - (double)piece) * 1073741824.0;
    return mix(x, (int32_t)rest);
}

int main(int argc, char **argv)
{
    int32_t rows = argc > 2 ? atoi(argv[1]) : 60;
    int32_t columns = argc > 2 ? atoi(argv[2]) : 80;
    double r = 1.0 / (double)(rows + 1), c = 1.0 / (double)(columns + 1);
    double omega = 2.0 / (1.0 + 2.221441469 * sqrt(r * r + c * c));
    double **grid = malloc(((size_t)rows + 2) * sizeof *grid);
    int32_t iter = 0;
    double largest;
    uint32_t sum = 0;
    for (int32_t i = 0; i <= rows + 1; i++)
        grid[i] = make_row(i, rows, columns);
    do {
        iter++;
        largest = 0.0;
        for (int32_t colour = 0; colour <= 1; colour++)
            for (int32_t i = 1; i <= rows; i++) {
                double change = sweep(grid[i - 1], grid[i], grid[i + 1], 1 + (i + colour + 1) % 2, columns, omega);
                if (change > largest)
                    largest = change;
            }
    } while (largest > tolerance);
    for (int32_t i = 1; i <= rows; i++)
        for (int32_t j = 1; j <= columns; j++)
            sum += (uint32_t)mix_real(i, j, grid[i][j]);
    printf("%d x %d grid, %d iterations, checksum %d\n", rows, columns, iter, (int32_t)sum);
    return 0;
}
