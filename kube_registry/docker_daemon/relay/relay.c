/*
 * relay PORT: listens on 127.0.0.1:PORT and [::1]:PORT, and forwards every connection over its standard streams.
 *
 * The streams consist of frames in network byte order: kind (8 bits), connection (24 bits), count (32 bits), and for
 * DATA count bytes. frames.py is the other end. Each side may send WINDOW bytes of a connection that the other has not
 * credited yet, so a slow connection does not delay the others, and no side has to stop reading.
 *
 * It exits at the end of its standard input, so that it does not outlive the process at the other end, and on SIGTERM.
 * It exits with status 2 if it cannot listen.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTENING, OPEN, DATA, END, RESET, CREDIT };
enum { CONNECTIONS = 256, WINDOW = 1024 * 1024, PIECE = 64 * 1024, HEADER = 8, LAST_NUMBER = 0xffffff };

struct connection {
    uint32_t number;
    int fd;
    uint32_t credit;     /* bytes that may be sent to the other end */
    uint32_t uncredited; /* bytes written to the socket but not credited yet */
    size_t start, end;   /* bytes to write to the socket */
    int read_end, write_end, shut;
    char bytes[WINDOW];
};

static struct connection *connections[CONNECTIONS];

static void on_term(int number) {
    (void)number;
    _exit(0); /* the kernel ignores SIGTERM for a container's first process without a handler */
}

/* Listen on a loopback address; return -1 for [::1] if this machine does not have it. */
static int open_listener(int family, const char *shown, unsigned short port) {
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct sockaddr *place = family == AF_INET ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    socklen_t size = family == AF_INET ? sizeof four : sizeof six;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd >= 0 && bind(fd, place, size) == 0 && listen(fd, CONNECTIONS) == 0) return fd;
    if (family == AF_INET6 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) return -1;
    fprintf(stderr, "relay: cannot listen on %s:%d: %m\n", shown, port);
    exit(2);
}

static void say(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t put = write(STDOUT_FILENO, bytes, count);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) exit(0);
        bytes += put;
        count -= (size_t)put;
    }
}

/* Send a frame. For DATA, the buffer has room for the header, followed by the bytes. */
static void send_frame(int kind, uint32_t number, uint32_t count, char *frame) {
    char header[HEADER];
    uint32_t words[2] = {htonl((uint32_t)kind << 24 | number), htonl(count)};
    memcpy(frame ? frame : header, words, HEADER);
    say(frame ? frame : header, HEADER + (frame ? count : 0));
}

static void drop(int slot) {
    close(connections[slot]->fd);
    free(connections[slot]);
    connections[slot] = NULL;
}

/* Reset a connection; if it broke on this side, report that to the other end. */
static void reset(int slot, int tell) {
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    setsockopt(connections[slot]->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (tell) send_frame(RESET, connections[slot]->number, 0, NULL);
    drop(slot);
}

static void accept_into(int slot, int listener) {
    static uint32_t last;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
    if (fd < 0) return;
    struct connection *c = malloc(sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    memset(c, 0, offsetof(struct connection, bytes));
    last = last % LAST_NUMBER + 1;
    c->number = last;
    c->fd = fd;
    c->credit = WINDOW;
    connections[slot] = c;
    send_frame(OPEN, c->number, 0, NULL);
}

static int slot_of(uint32_t number) {
    for (int slot = 0; slot < CONNECTIONS; slot++)
        if (connections[slot] && connections[slot]->number == number) return slot;
    return -1;
}

static short events(const struct connection *c) {
    return (c->credit > 0 && !c->read_end ? POLLIN : 0) | (c->start < c->end ? POLLOUT : 0);
}

/* Read from the socket and send a frame; return 0 if the socket is broken. */
static int take(struct connection *c) {
    static char frame[HEADER + PIECE];
    ssize_t got = read(c->fd, frame + HEADER, c->credit < PIECE ? c->credit : PIECE);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    c->credit -= (uint32_t)got;
    c->read_end = got == 0;
    send_frame(got ? DATA : END, c->number, (uint32_t)got, got ? frame : NULL);
    return 1;
}

/* Write the stored bytes to the socket; return 0 if the socket is broken. */
static int give(struct connection *c) {
    if (c->start < c->end) {
        ssize_t put = write(c->fd, c->bytes + c->start, c->end - c->start);
        if (put < 0) return errno == EAGAIN || errno == EINTR;
        c->start += (size_t)put;
        c->uncredited += (uint32_t)put;
        if (c->start == c->end) c->start = c->end = 0;
        if (c->uncredited >= WINDOW / 4) {
            send_frame(CREDIT, c->number, c->uncredited, NULL);
            c->uncredited = 0;
        }
    }
    if (c->write_end && !c->shut && c->start == c->end) {
        shutdown(c->fd, SHUT_WR);
        c->shut = 1;
    }
    return 1;
}

static void serve(int slot, short happened) {
    struct connection *c = connections[slot];
    int whole = 1;
    if (happened & (POLLIN | POLLERR | POLLHUP) && c->credit > 0 && !c->read_end) whole = take(c);
    if (whole) whole = give(c);
    if (!whole)
        reset(slot, 1);
    else if (c->read_end && c->shut)
        drop(slot);
}

/* Store bytes for a socket; there is room, because the other end respects the window. */
static void keep(struct connection *c, const char *bytes, size_t count) {
    if (c->end + count > WINDOW) {
        memmove(c->bytes, c->bytes + c->start, c->end - c->start);
        c->end -= c->start;
        c->start = 0;
    }
    if (c->end + count > WINDOW) exit(3);
    memcpy(c->bytes + c->end, bytes, count);
    c->end += count;
}

static void obey(int kind, uint32_t number, uint32_t amount) {
    int slot = slot_of(number);
    if (slot < 0) return; /* it broke here, and the other end has not received the RESET yet */
    if (kind == CREDIT) connections[slot]->credit += amount;
    if (kind == END) {
        connections[slot]->write_end = 1;
        serve(slot, 0);
    }
    if (kind == RESET) reset(slot, 0);
}

static void receive_data(uint32_t number, const char *bytes, size_t count) {
    int slot = slot_of(number);
    if (slot < 0) return;
    keep(connections[slot], bytes, count);
    serve(slot, 0);
}

static size_t least(size_t one, size_t other) { return one < other ? one : other; }

/* Read a piece of the other end's frames; headers and data may be split anywhere. */
static void receive(const char *bytes, size_t count) {
    static char header[HEADER];
    static size_t have;
    static uint32_t number, left; /* of the current DATA frame */
    while (count > 0) {
        size_t used = least(count, left ? left : HEADER - have);
        if (left) {
            receive_data(number, bytes, used);
            left -= (uint32_t)used;
        } else {
            memcpy(header + have, bytes, used);
            have += used;
        }
        bytes += used;
        count -= used;
        if (have < HEADER) continue;
        have = 0;
        uint32_t words[2];
        memcpy(words, header, HEADER);
        number = ntohl(words[0]) & LAST_NUMBER;
        int kind = (int)(ntohl(words[0]) >> 24);
        if (kind == DATA)
            left = ntohl(words[1]);
        else
            obey(kind, number, ntohl(words[1]));
    }
}

int main(int count, char **words) {
    if (count != 2) {
        fprintf(stderr, "usage: relay PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, on_term);
    unsigned short port = (unsigned short)atoi(words[1]);
    int listeners[] = {open_listener(AF_INET, "127.0.0.1", port), open_listener(AF_INET6, "[::1]", port)};
    send_frame(LISTENING, 0, 0, NULL);

    for (;;) {
        struct pollfd polled[3 + CONNECTIONS] = {{.fd = STDIN_FILENO, .events = POLLIN}}, *sockets = polled + 3;
        int empty = -1;
        for (int slot = 0; slot < CONNECTIONS; slot++) {
            short wanted = connections[slot] ? events(connections[slot]) : 0;
            if (!connections[slot]) empty = slot;
            sockets[slot].fd = wanted ? connections[slot]->fd : -1; /* otherwise poll would report a hang-up forever */
            sockets[slot].events = wanted;
        }
        for (int each = 0; each < 2; each++) {
            polled[1 + each].fd = empty >= 0 ? listeners[each] : -1;
            polled[1 + each].events = POLLIN;
        }
        if (poll(polled, 3 + CONNECTIONS, -1) < 0) continue;

        for (int slot = 0; slot < CONNECTIONS; slot++)
            if (sockets[slot].revents) serve(slot, sockets[slot].revents);
        if (polled[1].revents || polled[2].revents) accept_into(empty, listeners[polled[1].revents ? 0 : 1]);
        if (polled[0].revents) {
            static char piece[PIECE];
            ssize_t got = read(STDIN_FILENO, piece, sizeof piece);
            if (got == 0 || (got < 0 && errno != EINTR)) return 0;
            if (got > 0) receive(piece, (size_t)got);
        }
    }
}
