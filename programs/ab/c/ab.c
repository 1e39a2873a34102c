/* The sequential twin of ab.imp: the same jobs, windows, search and types. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { COLUMNS = 7, HEIGHT = 6, INFINITE = 1000000, WIN = 100000 };

static int32_t cell[43], filled[8], lines[277], count;
static const int32_t order[8] = {0, 4, 3, 5, 2, 6, 1, 7};

static void add_lines(int32_t right, int32_t up)
{
    for (int32_t r = 1; r <= HEIGHT; r++)
        for (int32_t c = 1; c <= COLUMNS; c++) {
            int32_t column = c + 3 * right, row = r + 3 * up;
            if (column < 1 || column > COLUMNS || row < 1 || row > HEIGHT)
                continue;
            for (int32_t k = 0; k <= 3; k++)
                lines[4 * count + k + 1] = (r + k * up - 1) * COLUMNS + c + k * right;
            count++;
        }
}

static int32_t run(int32_t column, int32_t row, int32_t right, int32_t up, int32_t player)
{
    int32_t c = column + right, r = row + up, n = 0;
    while (c >= 1 && c <= COLUMNS && r >= 1 && r <= HEIGHT) {
        if (cell[(r - 1) * COLUMNS + c] != player)
            break;
        n++;
        c += right;
        r += up;
    }
    return n;
}

static bool wins(int32_t column, int32_t player)
{
    int32_t row = filled[column];
    return run(column, row, 0, -1, player) >= 3
        || run(column, row, -1, 0, player) + run(column, row, 1, 0, player) >= 3
        || run(column, row, -1, -1, player) + run(column, row, 1, 1, player) >= 3
        || run(column, row, -1, 1, player) + run(column, row, 1, -1, player) >= 3;
}

static int32_t evaluate(void)
{
    int32_t value = 0;
    for (int32_t l = 0; l <= count - 1; l++) {
        int32_t first = 0, second = 0;
        for (int32_t k = 1; k <= 4; k++) {
            int32_t stone = cell[lines[4 * l + k]];
            if (stone > 0)
                first++;
            else if (stone < 0)
                second++;
        }
        if (second == 0)
            value += first == 1 ? 1 : first == 2 ? 10 : first == 3 ? 100 : 0;
        else if (first == 0)
            value -= second == 1 ? 1 : second == 2 ? 10 : second == 3 ? 100 : 0;
    }
    return value;
}

static void put(int32_t column, int32_t player)
{
    filled[column]++;
    cell[(filled[column] - 1) * COLUMNS + column] = player;
}

static void take_back(int32_t column)
{
    cell[(filled[column] - 1) * COLUMNS + column] = 0;
    filled[column]--;
}

static int32_t search(int32_t player, int32_t depth, int32_t alpha, int32_t beta)
{
    if (depth == 0)
        return player * evaluate();
    int32_t best = -INFINITE, low = alpha;
    bool moved = false;
    for (int32_t k = 1; k <= COLUMNS; k++) {
        int32_t column = order[k], value;
        if (filled[column] == HEIGHT)
            continue;
        moved = true;
        put(column, player);
        if (wins(column, player))
            value = WIN + depth;
        else
            value = -search(-player, depth - 1, -beta, -low);
        take_back(column);
        if (value > best) {
            best = value;
            if (best > low)
                low = best;
            if (best >= beta)
                break;
        }
    }
    return moved ? best : 0;
}

int main(int argc, char **argv)
{
    int32_t depth = argc > 1 ? atoi(argv[1]) : 8;
    int32_t best = -INFINITE;
    add_lines(1, 0);
    add_lines(0, 1);
    add_lines(1, 1);
    add_lines(-1, 1);
    for (int32_t m = 1; m <= COLUMNS; m++) {
        int32_t worst = INFINITE;
        for (int32_t a = 1; a <= COLUMNS; a++) {
            int32_t value = worst;
            if (worst > best) {
                put(order[m], 1);
                put(order[a], -1);
                value = search(1, depth - 2, best, worst);
                take_back(order[a]);
                take_back(order[m]);
            }
            if (value < worst)
                worst = value;
        }
        if (worst > best)
            best = worst;
    }
    printf("depth %d, value %d\n", depth, best);
    return 0;
}
