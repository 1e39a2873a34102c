/* One member of a closed process group of corosync, told what to do line by line:
 *
 *   members N              wait until there are N of us
 *   delay SIZE WARM COUNT  send one at a time and wait for each; says the seconds of one
 *   take TOTAL             take so many messages
 *   pour SIZE COUNT TOTAL  send COUNT as fast as they are taken, take TOTAL; says the seconds
 *
 * The answer to each is one number. Nothing takes so long as the alarm.
 */
#include <corosync/cpg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static unsigned own_node;
static unsigned long seen, own, members;
static char data[1 << 17];

static void deliver(cpg_handle_t handle, const struct cpg_name *group, uint32_t node, uint32_t pid,
                    void *message, size_t length)
{
    (void)handle, (void)group, (void)message, (void)length;
    seen++;
    own += node == own_node && pid == (uint32_t)getpid();
}

static void change(cpg_handle_t handle, const struct cpg_name *group, const struct cpg_address *list, size_t count,
                   const struct cpg_address *left, size_t left_count, const struct cpg_address *joined,
                   size_t joined_count)
{
    (void)handle, (void)group, (void)list, (void)left, (void)left_count, (void)joined, (void)joined_count;
    members = count;
}

static void must(cs_error_t error, const char *what)
{
    if (error != CS_OK) {
        fprintf(stderr, "%s: corosync says %d\n", what, error);
        exit(1);
    }
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void send_one(cpg_handle_t handle, int fd, size_t size)
{
    struct iovec part = {data, size};
    cs_error_t error;
    while ((error = cpg_mcast_joined(handle, CPG_TYPE_AGREED, &part, 1)) == CS_ERR_TRY_AGAIN) {
        struct pollfd wait = {fd, POLLIN, 0};
        poll(&wait, 1, 1);
        cpg_dispatch(handle, CS_DISPATCH_ALL);
    }
    must(error, "send");
}

static void take_one(cpg_handle_t handle)
{
    must(cpg_dispatch(handle, CS_DISPATCH_ONE), "take");
}

static double delay(cpg_handle_t handle, int fd, size_t size, unsigned long warm, unsigned long count)
{
    double begun = now();
    for (unsigned long at = 0; at < warm + count; at++) {
        if (at == warm)
            begun = now();
        unsigned long before = own;
        send_one(handle, fd, size);
        while (own == before)
            take_one(handle);
    }
    return (now() - begun) / count;
}

static double pour(cpg_handle_t handle, int fd, size_t size, unsigned long count, unsigned long total)
{
    double begun = now();
    for (unsigned long at = 0; at < count; at++) {
        send_one(handle, fd, size);
        if (at % 16 == 15)
            cpg_dispatch(handle, CS_DISPATCH_ALL);
    }
    while (seen < total)
        take_one(handle);
    return now() - begun;
}

int main(void)
{
    cpg_callbacks_t callbacks = {.cpg_deliver_fn = deliver, .cpg_confchg_fn = change};
    cpg_handle_t handle;
    struct cpg_name group = {.length = 6, .value = "figure"};
    cs_error_t error = CS_ERR_TRY_AGAIN;
    int fd;
    /* The daemon may not be up yet. */
    for (int tries = 0; tries < 200 && error != CS_OK; tries++) {
        if ((error = cpg_initialize(&handle, &callbacks)) != CS_OK)
            usleep(50000);
    }
    must(error, "begin");
    must(cpg_local_get(handle, &own_node), "name");
    must(cpg_fd_get(handle, &fd), "descriptor");
    while ((error = cpg_join(handle, &group)) == CS_ERR_TRY_AGAIN)
        usleep(50000);
    must(error, "join");
    char line[200];
    while (fgets(line, sizeof line, stdin)) {
        unsigned long a = 0, b = 0, c = 0;
        char word[20] = "";
        double said = 0;
        sscanf(line, "%19s %lu %lu %lu", word, &a, &b, &c);
        alarm(30);
        if (!strcmp(word, "members"))
            while (members != a)
                take_one(handle);
        else if (!strcmp(word, "delay"))
            said = delay(handle, fd, a, b, c);
        else if (!strcmp(word, "take"))
            while (seen < a)
                take_one(handle);
        else if (!strcmp(word, "pour"))
            said = pour(handle, fd, a, b, c);
        /* Every message of a round is taken in it, by the sender of `delay` too. */
        seen = 0;
        alarm(0);
        printf("%.9f\n", said);
        fflush(stdout);
    }
    return 0;
}
