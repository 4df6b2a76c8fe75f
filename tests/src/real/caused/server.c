/* A server with a thread for each connection and one planted cause: `server PORT CAUSE FOLDER`. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BIG 1000000
#define MAPPED (128u << 20)
#define PAGE 4096u

static const char *cause, *folder;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char *mapped, *body;
static int mapped_file;

static int is(const char *name) { return !strcmp(cause, name); }

static void burn(long microseconds) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    long long end = now.tv_sec * 1000000000ll + now.tv_nsec + microseconds * 1000;
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while (now.tv_sec * 1000000000ll + now.tv_nsec < end);
}

static int file_of_thread(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", folder, gettid());
    return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
}

static void *nothing(void *none) { return none; }

static void work(unsigned *seed, int file) {
    if (is("mutex")) {
        pthread_mutex_lock(&mutex);
        usleep(3000);
        pthread_mutex_unlock(&mutex);
    } else if (is("sleep")) {
        usleep(3000);
    } else if (is("burn")) {
        burn(4000);
    } else if (is("maps")) {
        for (int turn = 0; turn < 20; turn++) {
            size_t size = 1 << 20;
            char *fresh = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            for (size_t at = 0; at < size; at += PAGE) fresh[at] = 1;
            munmap(fresh, size);
        }
    } else if (mapped) {
        for (int turn = 0; turn < 40; turn++) {
            size_t at = (size_t)rand_r(seed) * PAGE % MAPPED;
            madvise(mapped + at, PAGE, MADV_DONTNEED);
            if (is("faults")) posix_fadvise(mapped_file, at, PAGE, POSIX_FADV_DONTNEED);
            *(volatile char *)(mapped + at);
        }
    } else if (is("sync") || is("write")) {
        static char block[256 << 10];
        for (int turn = 0; turn < 16; turn++)
            if (pwrite(file, block, sizeof block, turn * sizeof block) != sizeof block) abort();
        if (is("sync")) fdatasync(file);
    } else if (is("threads")) {
        for (int turn = 0; turn < 8; turn++) {
            pthread_t thread;
            pthread_create(&thread, 0, nothing, 0);
            pthread_join(thread, 0);
        }
    } else if (is("spawn")) {
        pid_t child = fork();
        if (!child) execl("/bin/true", "true", (char *)0), _exit(1);
        waitpid(child, 0, 0);
    }
}

static void *serve(void *argument) {
    int client = (int)(long)argument, one = 1, small = 64 << 10, file = file_of_thread();
    unsigned seed = client * 7919;
    size_t length = is("big") ? BIG : 3;
    char request[4096], head[128];
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (is("big")) setsockopt(client, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    while (read(client, request, sizeof request) > 0) {
        work(&seed, file);
        int head_length = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", length);
        memcpy(request, head, head_length);
        if (length == 3) {
            memcpy(request + head_length, "ok\n", 3);
            if (write(client, request, head_length + 3) < 0) break;
        } else if (write(client, request, head_length) < 0 || write(client, body, length) < 0) {
            break;
        }
    }
    close(file);
    close(client);
    return 0;
}

int main(int count, char **arguments) {
    if (count < 4) return 2;
    cause = arguments[2];
    folder = arguments[3];
    body = malloc(BIG);
    memset(body, 'x', BIG);
    if (is("faults") || is("resident")) {
        mapped_file = file_of_thread();
        for (size_t at = 0; at < MAPPED; at += BIG)
            if (pwrite(mapped_file, body, BIG, at) != BIG) abort();
        fsync(mapped_file);
        close(mapped_file);
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", folder, gettid());
        mapped_file = open(path, O_RDONLY);
        if (is("faults")) posix_fadvise(mapped_file, 0, 0, POSIX_FADV_DONTNEED);
        mapped = mmap(0, MAPPED, PROT_READ, MAP_SHARED, mapped_file, 0);
        madvise(mapped, MAPPED, MADV_RANDOM);
    }
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 128)) return 1;
    for (;;) {
        pthread_t thread;
        long client = accept(listener, 0, 0);
        if (client < 0 || pthread_create(&thread, 0, serve, (void *)client)) continue;
        pthread_detach(thread);
    }
}
