/* The sequential twin of hello.orca. */
#include <stdio.h>

int main(void)
{
    for (int i = 1; i <= 4; i++)
        printf("hello from process %d\n", i);
    printf("hello from all\n");
    return 0;
}
