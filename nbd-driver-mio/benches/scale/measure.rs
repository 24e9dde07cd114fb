//! One measurement: random reads on so many connections, from one loop on one thread.

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use nbd_driver_mio::nbd_proto::transmission::ClientSettings;
use nbd_driver_mio::{Buffer, Client, ClientOptions, Socket};
use rustix::time::{ClockId, clock_gettime};

use crate::fleet::Fleet;

/// How long each read is, in bytes.
const LENGTH: usize = 4096;

/// How large the disk is, in bytes.
pub(crate) const DISK: u64 = 64 << 20;

/// How requests are spread over connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// This many in flight in all, each with the connection after the last one's: most connections are idle at any time.
    Hopping(usize),
    /// This many in flight in all, an equal part of them on each connection.
    Divided(usize),
    /// This many in flight on each connection.
    Each(usize),
}

impl Load {
    /// How many requests each of so many connections has in flight at first.
    const fn depth(self, connections: usize) -> usize {
        match self {
            Self::Hopping(all) | Self::Divided(all) => all.div_ceil(connections),
            Self::Each(depth) => depth,
        }
    }

    const fn in_flight(self, connections: usize) -> usize {
        match self {
            Self::Hopping(all) | Self::Divided(all) => all,
            Self::Each(depth) => depth * connections,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    /// Reads in a second.
    pub(crate) operations: f64,
    /// Microseconds of processor time that the loop's thread spent on each.
    pub(crate) processor: f64,
}

/// Reads for about as long as `time`.
pub(crate) fn measure(socket: &Path, connections: usize, load: Load, time: Duration) -> Speed {
    let options = ClientOptions::default().with_engine(ClientSettings::default().with_max_in_flight(1024));
    let mut fleet = Fleet::connect(connections, options, |_| Socket::connect_unix(socket));
    let mut rng = Rng::with_seed(1);
    let mut left = load.in_flight(connections);
    for round in 0..load.depth(connections) {
        for index in 0..connections {
            if left > 0 {
                left -= 1;
                read(fleet.client(index), vec![round as u8; LENGTH], &mut rng);
            }
        }
    }
    let mut next = 0;
    // Memory, caches and the other side's threads are warm after some time.
    go(&mut fleet, load, &mut rng, &mut next, connections, time / 5);
    let (started, processor) = (Instant::now(), processor_time());
    let count = go(&mut fleet, load, &mut rng, &mut next, connections, time) as f64;
    let (wall, processor) = (started.elapsed(), processor_time().checked_sub(processor).unwrap());
    fleet.disconnect();
    Speed { operations: count / wall.as_secs_f64(), processor: processor.as_secs_f64() * 1e6 / count }
}

/// Reads on and on; says how many reads have ended.
fn go(fleet: &mut Fleet, load: Load, rng: &mut Rng, next: &mut usize, connections: usize, time: Duration) -> usize {
    let (started, mut count) = (Instant::now(), 0);
    let mut hopping = Vec::new();
    while started.elapsed() < time {
        fleet.round(&mut |_, client| {
            let mut asked = false;
            while let Some(done) = client.completion() {
                done.result.unwrap();
                count += 1;
                match load {
                    Load::Hopping(_) => hopping.push(done.buffer),
                    Load::Divided(_) | Load::Each(_) => {
                        asked = true;
                        read(client, done.buffer, rng);
                    }
                }
            }
            asked
        });
        for buffer in hopping.drain(..) {
            read(fleet.client(*next), buffer, rng);
            *next = (*next + 1) % connections;
        }
    }
    count
}

fn read(client: &mut Client, buffer: impl Into<Buffer>, rng: &mut Rng) {
    let block = rng.u64(0..DISK / LENGTH as u64);
    client.read(buffer.into().into_vec(), block * LENGTH as u64).unwrap();
}

/// How long this thread has had a processor so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}
