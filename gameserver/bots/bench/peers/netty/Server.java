// A server on Netty 4.2: one event loop on its epoll transport, which receives and sends in batches (recvmmsg, sendmmsg).
//
// `java Server PORT TICK_HZ`; says `ready` when it is bound. Speaks the bare protocol of `load/src/wire.rs`.

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOption;
import io.netty.channel.FixedRecvByteBufAllocator;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollDatagramChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.socket.DatagramPacket;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;

public final class Server extends SimpleChannelInboundHandler<DatagramPacket> {
    private static final int SNAPSHOT_BYTES = 340;
    private static final int BUFFER_BYTES = 4 << 20;
    private static final int DATAGRAM_BYTES = 2048;
    /** Datagrams of one system call. */
    private static final int BATCH = 64;

    /** Only the event loop touches it. */
    private final Map<Integer, Player> players = new HashMap<>();

    private static final class Player {
        final InetSocketAddress address;
        int newest;

        Player(InetSocketAddress address) {
            this.address = address;
        }
    }

    public static void main(String[] arguments) throws InterruptedException {
        int port = Integer.parseInt(arguments[0]);
        int tickHz = Integer.parseInt(arguments[1]);
        Server server = new Server();
        Channel channel = new Bootstrap()
            .group(new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory()))
            .channel(EpollDatagramChannel.class)
            .option(ChannelOption.SO_RCVBUF, BUFFER_BYTES)
            .option(ChannelOption.SO_SNDBUF, BUFFER_BYTES)
            .option(EpollChannelOption.MAX_DATAGRAM_PAYLOAD_SIZE, DATAGRAM_BYTES)
            .option(ChannelOption.RECVBUF_ALLOCATOR, new FixedRecvByteBufAllocator(DATAGRAM_BYTES * BATCH))
            .handler(server)
            .bind("127.0.0.1", port)
            .sync()
            .channel();
        long period = TimeUnit.SECONDS.toNanos(1) / tickHz;
        server.next(channel, period, System.nanoTime() + period);
        System.out.println("ready");
        channel.closeFuture().sync();
    }

    @Override
    protected void channelRead0(ChannelHandlerContext context, DatagramPacket packet) {
        ByteBuf input = packet.content();
        if (input.readableBytes() < 8) {
            return;
        }
        int sequence = input.readInt();
        int id = input.readInt();
        Player player = players.computeIfAbsent(id, absent -> new Player(packet.sender()));
        player.newest = Math.max(player.newest, sequence);
    }

    /** A tick that is due while another runs is left out, as everywhere else. */
    private void next(Channel channel, long period, long due) {
        long wait = Math.max(due - System.nanoTime(), 0);
        channel.eventLoop().schedule(() -> {
            tick(channel);
            next(channel, period, Math.max(due + period, System.nanoTime()));
        }, wait, TimeUnit.NANOSECONDS);
    }

    private void tick(Channel channel) {
        for (Map.Entry<Integer, Player> entry : players.entrySet()) {
            Player player = entry.getValue();
            ByteBuf snapshot = channel.alloc().directBuffer(SNAPSHOT_BYTES);
            snapshot.writeInt(player.newest).writeInt(entry.getKey()).writeZero(SNAPSHOT_BYTES - 8);
            channel.write(new DatagramPacket(snapshot, player.address), channel.voidPromise());
        }
        channel.flush();
    }
}
