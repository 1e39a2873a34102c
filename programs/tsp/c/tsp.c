/* The sequential twin of tsp.orca: the same jobs in the same order, the same search, the same types. */
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { CITIES_MAX = 100 };

typedef struct job {
    int length;
    int route[4];
    struct job *next;
} job;

static int n;
static int distance[CITIES_MAX][CITIES_MAX];
static int order[CITIES_MAX][CITIES_MAX];
static int step[CITIES_MAX][CITIES_MAX];
static int cheapest[CITIES_MAX];
static bool visited[CITIES_MAX];
static int minimum = INT_MAX;
static job *first, *last;

static void sort_neighbours(void)
{
    for (int c = 0; c < n; c++) {
        int count = 0;
        for (int d = 0; d < n; d++) {
            if (d == c)
                continue;
            int k = count++;
            while (k > 0 && step[c][k - 1] > distance[c][d]) {
                step[c][k] = step[c][k - 1];
                order[c][k] = order[c][k - 1];
                k--;
            }
            step[c][k] = distance[c][d];
            order[c][k] = d;
        }
        cheapest[c] = step[c][0];
    }
}

static void search(int hops, int city, int length, int rest)
{
    int bound = minimum;
    if (hops == n) {
        if (length + distance[city][0] < bound)
            minimum = length + distance[city][0];
    } else if (length + rest < bound) {
        for (int k = 0; k < n - 1; k++) {
            int next = order[city][k];
            if (!visited[next]) {
                visited[next] = true;
                search(hops + 1, next, length + step[city][k], rest - cheapest[city]);
                visited[next] = false;
            }
        }
    }
}

static void generate_jobs(void)
{
    for (int a = 0; a < n - 1; a++) {
        int c2 = order[0][a];
        for (int b = 0; b < n - 1; b++) {
            int c3 = order[c2][b];
            if (c3 == 0)
                continue;
            for (int c = 0; c < n - 1; c++) {
                int c4 = order[c3][c];
                if (c4 == 0 || c4 == c2)
                    continue;
                job *j = malloc(sizeof *j);
                *j = (job){step[0][a] + step[c2][b] + step[c3][c], {0, c2, c3, c4}, NULL};
                if (first == NULL)
                    first = j;
                else
                    last->next = j;
                last = j;
            }
        }
    }
}

int main(int argc, char **argv)
{
    FILE *in = argc > 1 ? fopen(argv[1], "r") : NULL;
    if (in == NULL) {
        printf("tsp: cannot read %s\n", argc > 1 ? argv[1] : "");
        return 0;
    }
    if (fscanf(in, "%d", &n) != 1 || n < 4 || n > CITIES_MAX)
        return 1;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            if (fscanf(in, "%d", &distance[i][j]) != 1)
                return 1;
    fclose(in);
    sort_neighbours();
    generate_jobs();
    while (first != NULL) {
        job *j = first;
        int rest = 0;
        for (int c = 0; c < n; c++)
            rest += cheapest[c];
        for (int k = 0; k < 4; k++)
            visited[j->route[k]] = true;
        for (int k = 0; k < 3; k++)
            rest -= cheapest[j->route[k]];
        search(4, j->route[3], j->length, rest);
        for (int k = 0; k < 4; k++)
            visited[j->route[k]] = false;
        first = j->next;
        free(j);
    }
    printf("%d cities, shortest route %d\n", n, minimum);
    return 0;
}
