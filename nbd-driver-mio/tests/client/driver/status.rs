//! What a metadata context says of a range, by as many requests as it takes.

use std::ops::Range;

use nbd_driver_mio::nbd_proto::transmission::{Command, Extent};
use nbd_driver_mio::nbd_proto::wire::number::ContextId;

use super::client::Client;
use super::error::Error;

pub(crate) struct BlockStatus<'a> {
    client: &'a Client,
    context: ContextId,
    range: Range<u64>,
    extents: std::vec::IntoIter<Extent>,
}

impl<'a> BlockStatus<'a> {
    pub(super) fn new(client: &'a Client, context: ContextId, range: Range<u64>) -> Self {
        Self { client, context, range, extents: Vec::new().into_iter() }
    }
}

impl Iterator for BlockStatus<'_> {
    type Item = Result<Extent, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(extent) = self.extents.next() {
                // Servers may go on behind what was asked.
                let end = (extent.offset + extent.length).min(self.range.end);
                if end > self.range.start {
                    let length = end - self.range.start;
                    let offset = std::mem::replace(&mut self.range.start, end);
                    return Some(Ok(Extent { offset, length, ..extent }));
                }
                continue;
            }
            if self.range.is_empty() {
                return None;
            }
            let command = Command::block_status(self.range.start, self.range.end - self.range.start);
            match self.client.context_status(self.context, command) {
                Ok(told) => {
                    let mine = told.into_iter().find(|told| told.context == self.context).unwrap();
                    self.extents = mine.extents.into_iter();
                }
                Err(error) => {
                    self.range.start = self.range.end;
                    return Some(Err(error));
                }
            }
        }
    }
}
