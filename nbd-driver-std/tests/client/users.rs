//! Users of a client, each with its own part of the disk and a model of it.

use fastrand::Rng;
use nbd_testkit::pattern;

use crate::driver::Client;
use crate::support::{KIB, MIB, assert_same};

pub(crate) const PART: u64 = MIB;
pub(crate) const BASE: &str = "base:allocation";

/// Reads, writes and asks, small and large, and remembers what must be there.
pub(crate) fn blocking_user(client: &Client, start: u64, model: &mut [u8], turns: u64) {
    let mut random = Rng::with_seed(start + 1);
    let status = client.negotiated().context(BASE).is_some();
    for turn in 0..turns {
        let at = random.u64(..PART);
        let most = if turn % 8 == 0 { PART } else { 20_000 };
        let length = 1 + random.u64(..most.min(PART - at));
        let range = at as usize..(at + length) as usize;
        match random.u64(..5) {
            0 | 1 => {
                let mut data = vec![0xee; range.len()];
                client.read_at(&mut data, start + at).unwrap();
                assert_same(&data, &model[range]);
            }
            2 | 3 => {
                model[range.clone()].copy_from_slice(&pattern(range.len(), turn));
                client.write_at(&model[range], start + at).unwrap();
            }
            _ if status => {
                let extents = client.block_status(BASE, start + at..start + at + length).unwrap();
                assert_eq!(extents.map(|extent| extent.unwrap().length).sum::<u64>(), length);
            }
            _ => client.flush().unwrap(),
        }
    }
}

/// The same with several requests in flight, none overlapping another.
pub(crate) fn queue_user(client: &Client, start: u64, model: &mut [u8], turns: u64) {
    const STEP: u64 = 64 * KIB;
    let mut queue = client.queue();
    for turn in 0..turns {
        for at in (0..PART).step_by(STEP as usize) {
            let range = at as usize..(at + STEP) as usize;
            let mut buffer = vec![0xee; range.len()];
            let write = (turn + at / STEP) % 2 == 0;
            if write {
                model[range.clone()].copy_from_slice(&pattern(range.len(), turn + at));
                buffer.copy_from_slice(&model[range]);
            }
            loop {
                let submitted = if write { queue.write(buffer, start + at) } else { queue.read(buffer, start + at) };
                let Err(rejected) = submitted else { break };
                assert!(rejected.is_full(), "{rejected}");
                buffer = rejected.buffer;
                match queue.wait() {
                    Some(completion) => completion.result.unwrap(),
                    // All places are taken by others.
                    None => client.flush().unwrap(),
                }
            }
        }
        while let Some(completion) = queue.wait() {
            completion.result.unwrap();
            let at = (completion.command.offset - start) as usize;
            assert_same(&completion.buffer, &model[at..at + completion.buffer.len()]);
        }
    }
    assert_eq!(queue.in_flight(), 0);
}
