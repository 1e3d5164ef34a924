/*
 * relay PORT HOST: listens on 127.0.0.1:PORT and carries every connection to HOST:PORT.
 *
 * It ends when its standard input does, so that it does not outlive whoever holds the other end, and on SIGTERM.
 * It says "listening" once it does, and ends with status 2 where it cannot.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NEAR, FAR, SIDES, CONNECTIONS = 256, BUFFER = 64 * 1024 };

struct flow { /* what was read from one side and is not yet written to the other */
    size_t start, end;
    int ended;  /* the side it comes from has no more */
    int passed; /* and the other has been told */
    char bytes[BUFFER];
};

struct connection {
    int fds[SIDES];
    struct flow from[SIDES];
    struct addrinfo *addresses, *next; /* of the far side; those from next on are untried */
    int connected;
};

static const char *port, *host;
static struct connection *connections[CONNECTIONS];

static void on_term(int number) {
    (void)number;
    _exit(0); /* the first process of a container has to do this itself */
}

static int open_listener(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&place, sizeof place) < 0 || listen(fd, CONNECTIONS) < 0) {
        fprintf(stderr, "relay: cannot listen on 127.0.0.1:%s: %m\n", port);
        exit(2);
    }
    return fd;
}

static void no_delay(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* Begin to connect to the next address of the far side; 0 where there is none left. */
static int connect_next(struct connection *c) {
    while (c->next) {
        struct addrinfo *address = c->next;
        c->next = address->ai_next;
        if (c->fds[FAR] >= 0) close(c->fds[FAR]);
        c->fds[FAR] = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (c->fds[FAR] < 0) continue;
        no_delay(c->fds[FAR]);
        if (connect(c->fds[FAR], address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS) return 1;
    }
    return 0;
}

/* Whether the far side answers, or another of its addresses is being tried. */
static int finish_connecting(struct connection *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fds[FAR], SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) return connect_next(c);
    return c->connected = 1;
}

static void drop(int slot) {
    struct connection *c = connections[slot];
    for (int side = NEAR; side < SIDES; side++)
        if (c->fds[side] >= 0) close(c->fds[side]);
    if (c->addresses) freeaddrinfo(c->addresses);
    free(c);
    connections[slot] = NULL;
}

static void accept_into(int slot, int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    struct connection *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    connections[slot] = c;
    c->fds[NEAR] = fd;
    c->fds[FAR] = -1;
    no_delay(fd);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (getaddrinfo(host, port, &hints, &c->addresses) != 0) c->addresses = NULL;
    c->next = c->addresses;
    if (!connect_next(c)) drop(slot);
}

static int wants_read(const struct flow *f) { return !f->ended && f->end < BUFFER; }
static int wants_write(const struct flow *f) { return f->start < f->end; }

static short events(const struct connection *c, int side) {
    if (!c->connected) return side == FAR ? POLLOUT : 0;
    return (wants_read(&c->from[side]) ? POLLIN : 0) | (wants_write(&c->from[!side]) ? POLLOUT : 0);
}

/* Read what there is, write what can be, pass the end on; 0 once the connection is broken. */
static int carry(struct connection *c, int side) {
    struct flow *f = &c->from[side];
    if (wants_read(f)) {
        ssize_t got = read(c->fds[side], f->bytes + f->end, BUFFER - f->end);
        if (got < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (got > 0) f->end += (size_t)got;
        f->ended = got == 0;
    }
    if (wants_write(f)) {
        ssize_t put = write(c->fds[!side], f->bytes + f->start, f->end - f->start);
        if (put < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (put > 0) f->start += (size_t)put;
        if (f->start == f->end) f->start = f->end = 0;
    }
    if (f->ended && !f->passed && !wants_write(f)) {
        shutdown(c->fds[!side], SHUT_WR);
        f->passed = 1;
    }
    return 1;
}

/* 0 once nothing is left to do. */
static int serve(struct connection *c) {
    if (!c->connected) return finish_connecting(c);
    if (!carry(c, NEAR) || !carry(c, FAR)) return 0;
    return !(c->from[NEAR].passed && c->from[FAR].passed);
}

static void watch(struct pollfd *polled, int fd, short events) {
    polled->fd = events ? fd : -1; /* poll would tell of a hang-up again and again */
    polled->events = events;
    polled->revents = 0;
}

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: relay PORT HOST\n");
        return 2;
    }
    port = words[1];
    host = words[2];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    int listener = open_listener();
    if (write(STDOUT_FILENO, "listening\n", 10) != 10) return 2;

    for (;;) {
        struct pollfd polled[2 + SIDES * CONNECTIONS], *sockets = polled + 2;
        int empty = -1;
        for (int slot = 0; slot < CONNECTIONS; slot++) {
            struct connection *c = connections[slot];
            if (!c) empty = slot;
            for (int side = NEAR; side < SIDES; side++)
                watch(&sockets[SIDES * slot + side], c ? c->fds[side] : -1, c ? events(c, side) : 0);
        }
        watch(&polled[0], STDIN_FILENO, POLLIN);
        watch(&polled[1], listener, empty >= 0 ? POLLIN : 0);
        if (poll(polled, 2 + SIDES * CONNECTIONS, -1) < 0) continue;

        char ignored[256];
        if (polled[0].revents && read(STDIN_FILENO, ignored, sizeof ignored) <= 0) return 0;
        for (int slot = 0; slot < CONNECTIONS; slot++)
            if (connections[slot] && (sockets[SIDES * slot].revents || sockets[SIDES * slot + FAR].revents))
                if (!serve(connections[slot])) drop(slot);
        if (polled[1].revents) accept_into(empty, listener);
    }
}
