//! What a connection takes, and that the requests of a warm one take nothing more.
//!
//! A binary of its own, because it has an allocator of its own, which counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../../nbd-proto/tests/common/counting.rs"]
mod counting;
mod drivers;
mod engines;
mod floods;

/// How many requests of each kind are in flight in ordinary use, and in a burst: as many as are allowed by default.
const DEPTH: usize = 8;
const BURST: usize = 128;

/// How long each payload is, in bytes.
const LENGTH: usize = 4096;

/// What the core takes at most, and the driver beside it, of an idle connection, in bytes.
const CORE: usize = 2 * 1024;
const DRIVER: usize = 8 * 1024;

/// Both sides of a connection.
struct Both {
    client: usize,
    server: usize,
}

/// How many bytes of memory a value owns, by what its end gives back; its own size included.
fn held<T>(value: Box<T>) -> usize {
    let before = counting::bytes();
    drop(value);
    before - counting::bytes()
}

#[test]
fn an_idle_connection_is_small() {
    println!("bytes of memory         |     client      |     server");
    println!("of an idle connection   |   core + driver |   core + driver");
    for (state, depth, shrinks) in
        [("just negotiated", 0, false), ("after depth 8, as it is", DEPTH, false), ("after 128, shrunk", BURST, true)]
    {
        let core = engines::idle(depth, shrinks);
        let whole = drivers::idle(depth, shrinks);
        let driver = Both { client: whole.client - core.client, server: whole.server - core.server };
        println!("{state:23} | {:6} + {:6} | {:6} + {:6}", core.client, driver.client, core.server, driver.server);
        assert!(core.client <= CORE && core.server <= CORE, "{state}: the core takes too much");
        assert!(driver.client <= DRIVER && driver.server <= DRIVER, "{state}: the driver takes too much");
    }
}

#[test]
fn requests_of_a_warm_connection_allocate_nothing() {
    let mut pair = drivers::Pair::new();
    let mut buffers = Vec::with_capacity(DEPTH);
    buffers.extend((0..DEPTH).map(|_| vec![0; LENGTH]));
    let mut requests = |rounds| {
        for round in 0..rounds {
            for at in 0..DEPTH {
                let (buffer, offset) = (buffers.pop().unwrap(), (at * LENGTH) as u64);
                let taken =
                    if round % 2 == 0 { pair.client.write(buffer, offset) } else { pair.client.read(buffer, offset) };
                taken.unwrap();
            }
            pair.finish(&mut |buffer| buffers.push(buffer.into_vec()));
        }
    };
    requests(20);
    let before = counting::allocations();
    requests(100);
    let after = counting::allocations();
    assert_eq!(after - before, 0, "of 800 requests, client and server together");
}
