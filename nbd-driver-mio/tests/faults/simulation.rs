//! Any plan on any network. All of it comes from one seed, which is told when something is wrong and makes it happen
//! again:
//!
//! ```text
//! NBD_FAULT_SEED=… cargo test -p nbd-driver-mio --test faults simulation
//! ```
//!
//! `NBD_FAULT_SEEDS` sets how many seeds are tried.

use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use crate::faults::{Connect, Kind};
use crate::world::{Outcome, Plan};

fn run(seed: u64) -> Outcome {
    let mut rng = Rng::with_seed(seed);
    let plan = Plan::random(&mut rng);
    let faults = plan.faults.clone();
    let outcome = plan.run(seed);
    let said = |end: &Result<(), String>, words: &[&str]| match end {
        Ok(()) => true,
        Err(error) => words.iter().any(|word| error.contains(word)),
    };
    let hung_up = ["closed the connection"];
    let (mut client, mut server) = (hung_up.to_vec(), hung_up.to_vec());
    let never_made = match faults.connect {
        Connect::Accepted(_) => None,
        Connect::Refused(_) => Some("connecting: connection refused"),
        Connect::Never => Some("connecting: nothing came within 10000 s"),
    };
    if let Some(why) = never_made {
        assert_eq!(outcome.client, Err(why.to_owned()));
        return outcome;
    }
    match faults.trouble.map(|trouble| trouble.kind) {
        None => return outcome,
        Some(Kind::HalfClose | Kind::Reset(_)) => {}
        Some(Kind::Stall) => {
            client.extend(["nothing came within", "not answered within", "did not take the goodbye"]);
            server.extend(["sent nothing for", "took no bytes for", "took longer than"]);
        }
        Some(Kind::WriteZero) => {
            client.push("write zero");
            server.push("write zero");
        }
    }
    // Who hangs up while the other one is still sending breaks its pipe.
    for words in [&mut client, &mut server] {
        words.extend(["broken pipe", "connection reset"]);
    }
    assert!(said(&outcome.client, &client), "{:?}", outcome.client);
    assert!(said(&outcome.server, &server), "{:?}", outcome.server);
    outcome
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Tells the seed if the run under it fails.
struct Tell(u64);

impl Drop for Tell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let again = "cargo test -p nbd-driver-mio --test faults simulation";
            eprintln!("the simulation failed; again: NBD_FAULT_SEED={} {again}", self.0);
        }
    }
}

#[test]
fn no_fault_loses_a_request_a_byte_or_a_wake_up() {
    if let Some(seed) = number("NBD_FAULT_SEED") {
        let _tell = Tell(seed);
        println!("{:#?}", run(seed));
        return;
    }
    let seeds = number("NBD_FAULT_SEEDS").unwrap_or(2000);
    let (next, well, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let _tell = Tell(seed);
                    let outcome = run(seed);
                    well.fetch_add(u64::from(outcome.client.is_ok() && outcome.server.is_ok()), Ordering::Relaxed);
                    lost.fetch_add(outcome.lost as u64, Ordering::Relaxed);
                }
            });
        }
    });
    // Otherwise it would be no simulation of a network that works, mostly, and breaks.
    if seeds >= 1000 {
        let (well, lost) = (well.load(Ordering::Relaxed), lost.load(Ordering::Relaxed));
        assert!(
            (seeds / 10..seeds).contains(&well) && lost > seeds / 10,
            "{well} of {seeds} ended in order, {lost} lost"
        );
    }
    println!("{seeds} seeds: {well:?} ended in order, {lost:?} requests were lost to faults");
}

#[test]
fn a_seed_means_the_same_each_time() {
    let digest = |seed| {
        let outcome = run(seed);
        format!("{outcome:?}")
    };
    for seed in 0..20 {
        assert_eq!(digest(seed), digest(seed));
    }
    assert_ne!(digest(1), digest(2));
}
