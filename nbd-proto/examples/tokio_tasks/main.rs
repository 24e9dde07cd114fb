//! The core in a tokio task: 64 tasks share one connection, and drop some of their futures half way.
//!
//! ```sh
//! nbdkit -f -U /tmp/nbd.sock memory 4M &
//! cargo run -p nbd-proto --example tokio_tasks /tmp/nbd.sock    # or HOST:PORT
//! ```
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a program has arguments, and may print")]

mod connection;

use std::future::ready;

use connection::{Handle, Result, connect};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

const BLOCK: usize = 32 << 10;

/// Writes and reads a block of its own again and again, and drops other reads and a write of it half way.
async fn work(handle: Handle, task: u8) -> Result<u32> {
    let (kept, dropped) = (u64::from(task) * 2 * BLOCK as u64, (u64::from(task) * 2 + 1) * BLOCK as u64);
    let mut count = 0;
    for round in 0..8 {
        let block: Vec<u8> = (0..BLOCK).map(|at| (at / 128) as u8 ^ task ^ round).collect();
        handle.write_at(block.clone(), kept).await?;
        tokio::select! { biased; _ = handle.read_at(vec![0; BLOCK], kept) => {}, () = ready(()) => count += 1 }
        assert_eq!(handle.read_at(vec![0; BLOCK], kept).await?, block);
    }
    tokio::select! { biased; _ = handle.write_at(vec![task + 1; BLOCK], dropped) => {}, () = ready(()) => count += 1 }
    Ok(count)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).ok_or("usage: tokio_tasks SOCKET|HOST:PORT")?;
    let (handle, end) = if address.contains('/') {
        connect(UnixStream::connect(address).await?, "").await?
    } else {
        connect(TcpStream::connect(address).await?, "").await?
    };
    let tasks: JoinSet<_> = (0..64).map(|task| work(handle.clone(), task)).collect();
    drop(handle);
    let dropped: u32 = tasks.join_all().await.into_iter().sum::<Result<_>>()?;
    end.await??;
    println!("64 tasks wrote and read 512 blocks; {dropped} futures were dropped half way");
    Ok(())
}
