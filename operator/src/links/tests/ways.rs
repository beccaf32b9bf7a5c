//! Ways to a region that are not the best.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;

/// Another address of a region; whoever is notified breaks its links.
pub(super) async fn other_address(of: SocketAddr) -> (SocketAddr, Arc<Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, broken) = (listener.local_addr().unwrap(), Arc::new(Notify::new()));
    let breaks = Arc::clone(&broken);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(of).await.unwrap();
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                () = breaks.notified() => {}
            }
        }
    });
    (address, broken)
}

/// An address of a region that is far away: each way takes so long.
pub(super) async fn distant_address(of: SocketAddr, way: Duration) -> SocketAddr {
    async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Duration) -> std::io::Result<()> {
        let mut bytes = vec![0; 128 * 1024];
        loop {
            let count = from.read(&mut bytes).await?;
            if count == 0 {
                return Ok(());
            }
            sleep(way).await;
            to.write_all(&bytes[..count]).await?;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (near_read, near_write) = listener.accept().await.unwrap().0.into_split();
            let (far_read, far_write) = TcpStream::connect(of).await.unwrap().into_split();
            tokio::spawn(carry(near_read, far_write, way));
            tokio::spawn(carry(far_read, near_write, way));
        }
    });
    address
}
