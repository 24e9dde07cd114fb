//! A copy between two servers, both of which are killed on the way.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use nbd_testkit::{Bird, Phoenix, must_end, pattern};

use super::ours::ours;
use crate::common::command;

/// Much more than is copied between the kills.
const LENGTH: usize = 64 << 20;

/// Data and holes take turns.
const PART: usize = 64 << 10;

const KILLS: usize = 12;

/// Counts how often the copy has connected anew, and kills one of the servers behind each time.
fn killed_in_turns(from: Bird, to: Bird) {
    let (Some(from), Some(to)) = (Phoenix::new(LENGTH as u64, from), Phoenix::new(LENGTH as u64, to)) else { return };
    let mut source = pattern(LENGTH, 4);
    for (number, part) in source.chunks_mut(PART).enumerate() {
        if number % 2 == 0 {
            from.file().write_all_at(part, (number * PART) as u64).unwrap();
        } else {
            part.fill(0);
        }
    }
    let mut servers = [from, to];
    servers.iter_mut().for_each(Phoenix::start);
    let mut copy = command();
    copy.args(["copy", "--retry", "--request-size=4k", "--requests=1", "--progress"]);
    let mut copy = copy.args(servers.each_ref().map(Phoenix::uri)).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(copy.stderr.take().unwrap()).lines().map(Result::unwrap);
    // It is connected to both when it has got on.
    let begun = errors.find(|line| line.ends_with("/100") && !line.starts_with("0/"));
    assert!(begun.is_some(), "the copy ended at once");
    for kill in 0..KILLS {
        servers[kill % 2].rise();
        let mut said = Vec::new();
        while !said.last().is_some_and(|line: &String| line.contains("connected anew, going on")) {
            let line = errors.next();
            said.push(line.unwrap_or_else(|| panic!("the copy ended before kill {kill} was seen: {said:?}")));
        }
    }
    let rest: Vec<_> = errors.collect();
    assert!(copy.wait().unwrap().success(), "{rest:?}");
    // It was flushed, so it is there however the server ends.
    let [_, to] = &mut servers;
    to.kill();
    assert!(std::fs::read(to.path()).unwrap() == source, "the copy is not what was to be copied");
}

#[test]
fn nbdkit_to_nbdkit_that_forgets_what_was_not_flushed() {
    must_end(|| killed_in_turns(Bird::Nbdkit, Bird::Forgetful));
}

#[test]
fn our_server_to_our_server() {
    must_end(|| killed_in_turns(ours(), ours()));
}
