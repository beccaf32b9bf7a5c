/* A server on ENet: its host is served until the next tick is due, and then everyone gets an unreliable packet.
 *
 * `peer PORT TICK_HZ`; says `ready` when it is bound. 4095 peers at most, which is ENet's own limit. */
#include <enet/enet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SNAPSHOT_BYTES 340
#define BUFFER_BYTES (4 << 20)
#define NANOS 1000000000LL

/* An input is its number and its client's, big endian; a snapshot begins with the newest and its client's. */
typedef struct {
    unsigned char newest[4];
    unsigned char client[4];
} player;

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NANOS + time.tv_nsec;
}

static void take(ENetEvent *event) {
    player *who = event->peer->data;
    switch (event->type) {
    case ENET_EVENT_TYPE_CONNECT:
        event->peer->data = calloc(1, sizeof(player));
        /* no deceleration: else ENet drops unreliable packets when round trips grow, as they do between two ticks */
        enet_peer_throttle_configure(event->peer, ENET_PEER_PACKET_THROTTLE_INTERVAL, ENET_PEER_PACKET_THROTTLE_SCALE, 0);
        break;
    case ENET_EVENT_TYPE_RECEIVE:
        if (who && event->packet->dataLength >= sizeof(player) && memcmp(event->packet->data, who->newest, 4) > 0)
            memcpy(who, event->packet->data, sizeof(player));
        enet_packet_destroy(event->packet);
        break;
    case ENET_EVENT_TYPE_DISCONNECT:
        free(who);
        event->peer->data = NULL;
        break;
    default:
        break;
    }
}

static void send_snapshots(ENetHost *host) {
    static unsigned char snapshot[SNAPSHOT_BYTES];
    for (ENetPeer *peer = host->peers; peer < host->peers + host->peerCount; peer++) {
        if (peer->state != ENET_PEER_STATE_CONNECTED || !peer->data)
            continue;
        memcpy(snapshot, peer->data, sizeof(player));
        ENetPacket *packet = enet_packet_create(snapshot, sizeof snapshot, 0);
        if (enet_peer_send(peer, 0, packet) < 0)
            enet_packet_destroy(packet);
    }
    enet_host_flush(host);
}

int main(int count, char **arguments) {
    if (count != 3 || atoi(arguments[2]) < 1 || enet_initialize() != 0) {
        fprintf(stderr, "usage: peer PORT TICK_HZ\n");
        return 1;
    }
    ENetAddress address = {.port = (enet_uint16)atoi(arguments[1])};
    enet_address_set_host_ip(&address, "127.0.0.1");
    ENetHost *host = enet_host_create(&address, ENET_PROTOCOL_MAXIMUM_PEER_ID, 1, 0, 0);
    if (!host) {
        fprintf(stderr, "failed to bind\n");
        return 1;
    }
    enet_socket_set_option(host->socket, ENET_SOCKOPT_RCVBUF, BUFFER_BYTES);
    enet_socket_set_option(host->socket, ENET_SOCKOPT_SNDBUF, BUFFER_BYTES);
    puts("ready");
    fflush(stdout);
    long long period = NANOS / atoi(arguments[2]), due = now() + period;
    for (;;) {
        long long left = due - now();
        ENetEvent event;
        if (left >= NANOS / 1000) {
            /* ENet waits in whole milliseconds */
            if (enet_host_service(host, &event, (enet_uint32)(left / (NANOS / 1000))) > 0)
                take(&event);
            continue;
        }
        if (left > 0)
            nanosleep(&(struct timespec){.tv_nsec = left}, NULL);
        while (enet_host_service(host, &event, 0) > 0)
            take(&event);
        send_snapshots(host);
        due = due + period > now() ? due + period : now();
    }
}
