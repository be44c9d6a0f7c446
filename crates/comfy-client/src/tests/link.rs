//! The network between a client and the scripted ComfyUI, which breaks on request.

use std::sync::Mutex;

use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A TCP proxy: what a network does to a connection is done here.
pub(super) struct Link {
    pub(super) port: u16,
    target: u16,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Link {
    pub(super) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { port, target, task: Mutex::new(Some(tokio::spawn(forward(listener, target)))) }
    }

    /// Breaks all connections; new ones are refused.
    pub(super) async fn stop(&self) {
        let task = self.task.lock().unwrap().take();
        if let Some(task) = task {
            task.abort();
            // Its end is the end of the connections.
            let _ = task.await;
        }
    }

    /// Takes connections again.
    pub(super) async fn resume(&self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        *self.task.lock().unwrap() = Some(tokio::spawn(forward(listener, self.target)));
    }
}

async fn forward(listener: TcpListener, target: u16) {
    let mut connections = JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await {
                let _ = (near.set_nodelay(true), far.set_nodelay(true));
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}
