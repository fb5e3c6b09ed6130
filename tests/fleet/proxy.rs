//! A proxy between members and a server: it delays what it passes on, cuts connections, and changes servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::sleep,
};

#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    port: u16,
    target: Arc<AtomicU64>,
    delay_ms: Arc<AtomicU64>,
    /// Connections end when it changes.
    cuts: watch::Sender<u64>,
}

impl Proxy {
    pub(crate) async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            target: Arc::new(AtomicU64::new(target.into())),
            delay_ms: Arc::default(),
            cuts: watch::Sender::new(0),
        };
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(client));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// For all that passes from now on, in each direction.
    pub(crate) fn delay(&self, by: Duration) {
        self.delay_ms.store(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Ends all connections, also amid a call.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// For connections from now on.
    pub(crate) fn switch(&self, target: u16) {
        self.target.store(target.into(), Ordering::Relaxed);
    }

    async fn serve(self, client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let target = self.target.load(Ordering::Relaxed) as u16;
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            () = self.pass(from_client, to_server) => {}
            () = self.pass(from_server, to_client) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn pass(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut bytes).await {
            sleep(Duration::from_millis(self.delay_ms.load(Ordering::Relaxed))).await;
            if to.write_all(&bytes[..length]).await.is_err() {
                return;
            }
        }
    }
}
